#include "textflag.h"

// func releaseStores64(dst *uint64, src *byte, n int)
// On amd64 every store is a release store; each of these is of a whole word.
TEXT ·releaseStores64(SB), NOSPLIT, $0-24
	MOVQ dst+0(FP), DI
	MOVQ src+8(FP), SI
	MOVQ n+16(FP), CX
	XORL DX, DX
again:
	MOVQ (SI)(DX*8), AX
	MOVQ AX, (DI)(DX*8)
	ADDQ $1, DX
	CMPQ DX, CX
	JLT  again
	RET
