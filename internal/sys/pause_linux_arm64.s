#include "textflag.h"

// func pause(n uint32)
// ISB stalls for about as long as PAUSE does on amd64; YIELD is a no-op on most cores.
TEXT ·pause(SB), NOSPLIT, $0-4
	MOVWU n+0(FP), R0
again:
	ISB  $15
	SUBW $1, R0
	CBNZW R0, again
	RET

// func releaseStore64(p *uint64, v uint64)
TEXT ·releaseStore64(SB), NOSPLIT, $0-16
	MOVD p+0(FP), R0
	MOVD v+8(FP), R1
	STLR R1, (R0)
	RET

// func prefetchWrite(p *uint64)
TEXT ·prefetchWrite(SB), NOSPLIT, $0-8
	MOVD p+0(FP), R0
	PRFM (R0), PSTL1KEEP
	RET

// func prefetchRead(p *byte)
TEXT ·prefetchRead(SB), NOSPLIT, $0-8
	MOVD p+0(FP), R0
	PRFM (R0), PLDL1KEEP
	RET
