// Decode attention where a key head serves SHARE query heads, split along the keys: a block reads its run of keys once for all of them.
// q is [key head][SHARE][D] FP16; K, V are [key head][row][D]. A row is read by D/8 neighbouring threads; each such group keeps SHARE online
// softmaxes and the block merges them. Partial results: [query head][split] of m, l, o[D] in FP32, for decode_combine.
// Macros: D (64|128), SHARE, THREADS, UNROLL (rows of K and of V in flight a thread), TILE (rows of the unit of scheduling).
constexpr int G_LANES = D / 8, G_GROUPS = THREADS / G_LANES, G_WARPS = THREADS / 32, G_SLOT = D + 2;
__device__ __forceinline__ void eight_of(uint4 v, float (&f)[8]) {
    unpack_half2(v.x, f[0], f[1]);
    unpack_half2(v.y, f[2], f[3]);
    unpack_half2(v.z, f[4], f[5]);
    unpack_half2(v.w, f[6], f[7]);
}
extern "C" __device__ int decode_grouped(int* status, u64 q_at, u64 k_at, u64 v_at, u64 part, int splits, int length, float scale_log2) {
    __shared__ float merge_o[G_WARPS][D], merge_m[G_WARPS], merge_l[G_WARPS];
    const int head = blockIdx.x / splits, split = blockIdx.x % splits, tiles = (length + TILE - 1) / TILE;
    const int begin = (int)((long long)split * tiles / splits) * TILE, end = min(length, (int)((long long)(split + 1) * tiles / splits) * TILE);
    const int tid = threadIdx.x, chunk = tid % G_LANES, group = tid / G_LANES;
    const u64 k = k_at + ((u64)head * length * D + chunk * 8) * 2, v = v_at + ((u64)head * length * D + chunk * 8) * 2;
    float q[SHARE][8], o[SHARE][8], m[SHARE], l[SHARE];
#pragma unroll
    for (int g = 0; g < SHARE; ++g) {
        eight_of(load_global((const void*)(q_at + (((u64)head * SHARE + g) * D + chunk * 8) * 2)), q[g]);
#pragma unroll
        for (int i = 0; i < 8; ++i) {
            q[g][i] *= scale_log2;
            o[g][i] = 0.0f;
        }
        m[g] = -1e30f;
        l[g] = 0.0f;
    }
    for (int row0 = begin + group; row0 < end + group; row0 += G_GROUPS * UNROLL) {
        uint4 kk[UNROLL], vv[UNROLL];
#pragma unroll
        for (int u = 0; u < UNROLL; ++u) kk[u] = load_global((const void*)(k + (u64)min(row0 + u * G_GROUPS, end - 1) * D * 2));
#pragma unroll
        for (int u = 0; u < UNROLL; ++u) vv[u] = load_global((const void*)(v + (u64)min(row0 + u * G_GROUPS, end - 1) * D * 2));
        float s[UNROLL][SHARE];
#pragma unroll
        for (int u = 0; u < UNROLL; ++u) {
            float f[8];
            eight_of(kk[u], f);
#pragma unroll
            for (int g = 0; g < SHARE; ++g) {
                s[u][g] = 0.0f;
#pragma unroll
                for (int i = 0; i < 8; ++i) s[u][g] = fmaf(f[i], q[g][i], s[u][g]);
#pragma unroll
                for (int step = 1; step < G_LANES; step *= 2) s[u][g] += __shfl_xor_sync(0xffffffffu, s[u][g], step);
                if (row0 + u * G_GROUPS >= end) s[u][g] = -1e30f;
            }
        }
#pragma unroll
        for (int g = 0; g < SHARE; ++g) {
            float top = m[g];
#pragma unroll
            for (int u = 0; u < UNROLL; ++u) top = fmaxf(top, s[u][g]);
            const float old = exp2_fast(m[g] - top);
            m[g] = top;
            l[g] *= old;
#pragma unroll
            for (int i = 0; i < 8; ++i) o[g][i] *= old;
        }
#pragma unroll
        for (int u = 0; u < UNROLL; ++u) {
            float f[8];
            eight_of(vv[u], f);
#pragma unroll
            for (int g = 0; g < SHARE; ++g) {
                const float p = row0 + u * G_GROUPS < end ? exp2_fast(s[u][g] - m[g]) : 0.0f;
                l[g] += p;
#pragma unroll
                for (int i = 0; i < 8; ++i) o[g][i] = fmaf(p, f[i], o[g][i]);
            }
        }
    }
#pragma unroll
    for (int g = 0; g < SHARE; ++g) {
#pragma unroll
        for (int step = G_LANES; step < 32; step *= 2) {
            const float m2 = __shfl_xor_sync(0xffffffffu, m[g], step), top = fmaxf(m[g], m2);
            const float mine = exp2_fast(m[g] - top), theirs = exp2_fast(m2 - top);
            l[g] = l[g] * mine + __shfl_xor_sync(0xffffffffu, l[g], step) * theirs;
#pragma unroll
            for (int i = 0; i < 8; ++i) o[g][i] = o[g][i] * mine + __shfl_xor_sync(0xffffffffu, o[g][i], step) * theirs;
            m[g] = top;
        }
        __syncthreads();  // the merge area may still be read for the query before
        if ((tid & 31) < G_LANES) {
#pragma unroll
            for (int i = 0; i < 8; ++i) merge_o[tid / 32][chunk * 8 + i] = o[g][i];
            merge_m[tid / 32] = m[g];
            merge_l[tid / 32] = l[g];
        }
        __syncthreads();
        float top = -1e30f, total = 0.0f, x = 0.0f;
#pragma unroll
        for (int w = 0; w < G_WARPS; ++w) top = fmaxf(top, merge_m[w]);
#pragma unroll
        for (int w = 0; w < G_WARPS; ++w) {
            const float scale = exp2_fast(merge_m[w] - top);
            total += merge_l[w] * scale;
            x += merge_o[w][tid % D] * scale;
        }
        float* slot = (float*)part + (((u64)head * SHARE + g) * splits + split) * G_SLOT;
        if (tid < D) slot[2 + tid] = x;
        if (tid == 0) {
            slot[0] = top;
            slot[1] = total;
        }
    }
    return 0;
}
