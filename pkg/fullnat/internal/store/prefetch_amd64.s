#include "textflag.h"

// func prefetch(flows unsafe.Pointer, slots *Slot, n int)
TEXT ·prefetch(SB), NOSPLIT, $0-24
	MOVQ flows+0(FP), DI
	MOVQ slots+8(FP), SI
	MOVQ n+16(FP), CX
	LEAQ (SI)(CX*4), CX // the end
	JMP  test

next:
	MOVL       (SI), AX
	SHLQ       $6, AX // a flow has 64 bytes
	PREFETCHT0 (DI)(AX*1)
	PREFETCHT0 64(DI)(AX*1)
	ADDQ       $4, SI

test:
	CMPQ SI, CX
	JCS  next
	RET
