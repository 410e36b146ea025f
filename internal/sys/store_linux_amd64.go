package sys

// releaseStore64 is an ordinary store: on amd64 each is a release store, unlike Go's atomic ones, which are XCHGs. The compiler keeps memory
// operations in the order of the program on either side of a store, and makes one MOV of an aligned word. Being inlined, it costs half of what a
// call of an assembly function does.
func releaseStore64(p *uint64, v uint64) { *p = v }
