// Package bench compares shmkit with the limits of the machine and with what Go
// programs use today. It is a module of its own, so that the peers are nobody's
// dependency. The README says how to run it.
package bench
