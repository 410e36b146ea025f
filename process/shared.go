package process

import "github.com/shmkit/shmkit/internal/objects"

// Shared is what the pointer to a type implements whose values several processes use at once. Fields of such a pointer type, in the
// argument of a [Function], are the same object in parent and child: shm.Segment, the queues and pipes of package ring and the types
// of package semaphore are of this kind. A program can add its own, out of these or on a piece of shared memory.
//
// Share is called in the parent, for each child. It returns a file that the child is to have, which stays the object's and may belong
// to many, and some bytes that say what to make of it. ended, if it is not nil, is called once when that child has
// ended or could not be started, whether it adopted the object or not.
//
// Adopt is called in the child, on a new zero value. The file stays the caller's, who closes it. Adopt checks what
// it is given.
//
// Handles belong to the process that has them: parent and child each close their own. A child that ends need not: its end does it.
type Shared = objects.Shared
