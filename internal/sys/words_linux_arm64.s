#include "textflag.h"

// func releaseStores64(dst *uint64, src *byte, n int)
TEXT ·releaseStores64(SB), NOSPLIT, $0-24
	MOVD dst+0(FP), R0
	MOVD src+8(FP), R1
	MOVD n+16(FP), R2
again:
	MOVD.P 8(R1), R3
	STLR   R3, (R0)
	ADD    $8, R0
	SUB    $1, R2
	CBNZ   R2, again
	RET
