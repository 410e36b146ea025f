// Package objects carries what processes share along with a value from one to another: a value's fields that are such objects cross as
// numbers, and beside the value travel files, which the other process inherits, and a table that says what to make of them.
//
//	refers by:  codec.For[T](nil, objects.Refers)
//	parent:     List, a codec.Giver -> Ship -> files and table
//	child:      Receive -> Arrivals, a codec.Taker
//
// Table and value go in a Letter.
//
// An object that a value names twice is one object on the other side, too.
package objects
