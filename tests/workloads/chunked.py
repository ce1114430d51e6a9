"""Gated linear attention in chunks, without sizes: `i` and `j` walk a chunk, whose decays `B` sums."""

from __future__ import annotations

CHUNKED_GATES = """n -> c, i
where j <= i
initial B = 0
initial S = 0
B[h,c,i+1,e] = B[h,c,i,e] + LA[h,c*I+i,e]
QB[h,c,i,e]  = Q[h,c*I+i,e] * exp(B[h,c,i+1,e])
KB[h,c,j,e]  = K[h,c*I+j,e] * exp(0 - B[h,c,j+1,e])
P[h,c,i,j]   = QB[h,c,i,e] * KB[h,c,j,e]
OI[h,c,i,f]  = P[h,c,i,j] * V[h,c*I+j,f]
KG[h,c,j,e]  = K[h,c*I+j,e] * exp(B[h,c,I,e] - B[h,c,j+1,e])
DS[h,c,e,f]  = KG[h,c,j,e] * V[h,c*I+j,f]
S[h,c+1,e,f] = S[h,c,e,f] * exp(B[h,c,I,e]) + DS[h,c,e,f]
OX[h,c,i,f]  = QB[h,c,i,e] * S[h,c,e,f]
O[h,n,f]     = OI[h,c,i,f] + OX[h,c,i,f]
"""
