// Package history shows that what processes do to an object in shared memory is linearizable: each operation takes effect at one
// moment between its call and its return, as if they had come one after the other.
//
// The processes of a test, which are its own binary again (see [Main] and [Start]), note in a [Book] in shared memory what they call
// and what they get, round by round. The test then asks whether a [Spec], which says what the object does when it is called by one
// after the other, allows that: the search is porcupine's, and "not decided in time" counts as a failure.
//
// The clock that tells calls and returns apart is a word in the book that everybody adds to. That is a full fence before and
// behind each operation: what the operation publishes by a release store is visible when it counts as returned.
//
// A process that was killed leaves an operation without a return: it may have taken effect at any time since its call, or never.
package history
