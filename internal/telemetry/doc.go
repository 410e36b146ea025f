// Package telemetry is what the processes of a pool say of themselves in the pool's memory, for whoever looks on from outside: how much
// they have done, how long it took, what went wrong, and what happened last.
//
// # Guarantees
//
// Each word has one writer, a process that is named beside it, and any number of readers, which write nothing and may have mapped the
// memory for reading only. Nobody waits for anybody. Words are read and written whole; what several words say together may be of
// different moments. A writer never reads what it has written: it keeps numbers of its own, so that nothing that others write into the
// memory changes what it does. The one exception is the word by which somebody from outside asks the parent for something: see [Request].
//
// # Caveats
//
// Readers must take every number for one that somebody may have invented: a worker can write anything anywhere.
package telemetry
