#include "textflag.h"

// func prefetch(flows unsafe.Pointer, slots *Slot, n int)
TEXT ·prefetch(SB), NOSPLIT, $0-24
	MOVD flows+0(FP), R0
	MOVD slots+8(FP), R1
	MOVD n+16(FP), R2
	ADD  R2<<2, R1, R2 // the end
	B    test

next:
	MOVWU.P 4(R1), R3
	ADD     R3<<6, R0, R3 // a flow has 64 bytes
	PRFM    (R3), PLDL1KEEP
	PRFM    64(R3), PLDL1KEEP

test:
	CMP R2, R1
	BLO next
	RET
