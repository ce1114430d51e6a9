// Decode attention (one query row a head) by three schedules: a block a head, fixed split with a combine launch, and stream-K.
// q, o are [head][D] FP16; K, V are [head][row][D] FP16. A row is read by D/8 neighbouring threads, 16 bytes each, UNROLL rows of
// K and of V in flight a thread; each group of threads keeps its own online softmax and the block merges them at the end.
// Macros: D (64|128), THREADS, UNROLL, TILE (rows of the unit of scheduling). Partial results: m, l, then o[D], in FP32.
constexpr int LANES = D / 8, GROUPS = THREADS / LANES, WARPS = THREADS / 32, SLOT = D + 2;

struct Softmax {
    float o[8], m, l;
};
__device__ __forceinline__ void eight(uint4 v, float (&f)[8]) {
    unpack_half2(v.x, f[0], f[1]);
    unpack_half2(v.y, f[2], f[3]);
    unpack_half2(v.z, f[4], f[5]);
    unpack_half2(v.w, f[6], f[7]);
}
__device__ __forceinline__ float load_l2(const float* p) {
    float v;
    asm volatile("ld.global.cg.f32 %0, [%1];\n" : "=f"(v) : "l"(p));
    return v;
}
// One block attends to rows [begin, end) of one head; on return threads below D hold o[threadIdx.x], and every thread m and l.
__device__ __forceinline__ void attend(u64 q_at, u64 k_at, u64 v_at, int head, int length, int begin, int end, float scale_log2, float& o_out,
                                       float& m_out, float& l_out) {
    __shared__ float merge_o[WARPS][D], merge_m[WARPS], merge_l[WARPS];
    const int tid = threadIdx.x, chunk = tid % LANES, group = tid / LANES;
    const unsigned char* k = (const unsigned char*)k_at + (u64)head * length * D * 2 + chunk * 16;
    const unsigned char* v = (const unsigned char*)v_at + (u64)head * length * D * 2 + chunk * 16;
    float q[8];
    eight(load_global((const unsigned char*)q_at + (u64)head * D * 2 + chunk * 16), q);
#pragma unroll
    for (int i = 0; i < 8; ++i) q[i] *= scale_log2;
    Softmax x;
#pragma unroll
    for (int i = 0; i < 8; ++i) x.o[i] = 0.0f;
    x.m = -1e30f;
    x.l = 0.0f;
    for (int row0 = begin + group; row0 < end + group; row0 += GROUPS * UNROLL) {
        uint4 kk[UNROLL], vv[UNROLL];
#pragma unroll
        for (int u = 0; u < UNROLL; ++u) kk[u] = load_global(k + (u64)min(row0 + u * GROUPS, end - 1) * D * 2);
#pragma unroll
        for (int u = 0; u < UNROLL; ++u) vv[u] = load_global(v + (u64)min(row0 + u * GROUPS, end - 1) * D * 2);
        float s[UNROLL], m = x.m;
#pragma unroll
        for (int u = 0; u < UNROLL; ++u) {
            float f[8];
            eight(kk[u], f);
            s[u] = 0.0f;
#pragma unroll
            for (int i = 0; i < 8; ++i) s[u] = fmaf(f[i], q[i], s[u]);
#pragma unroll
            for (int step = 1; step < LANES; step *= 2) s[u] += __shfl_xor_sync(0xffffffffu, s[u], step);
            if (row0 + u * GROUPS >= end) s[u] = -1e30f;
            m = fmaxf(m, s[u]);
        }
        const float old = exp2_fast(x.m - m);
        x.m = m;
        x.l *= old;
#pragma unroll
        for (int i = 0; i < 8; ++i) x.o[i] *= old;
#pragma unroll
        for (int u = 0; u < UNROLL; ++u) {
            float f[8];
            eight(vv[u], f);
            const float p = row0 + u * GROUPS < end ? exp2_fast(s[u] - m) : 0.0f;
            x.l += p;
#pragma unroll
            for (int i = 0; i < 8; ++i) x.o[i] = fmaf(p, f[i], x.o[i]);
        }
    }
#pragma unroll
    for (int step = LANES; step < 32; step *= 2) {
        const float m2 = __shfl_xor_sync(0xffffffffu, x.m, step), m = fmaxf(x.m, m2);
        const float mine = exp2_fast(x.m - m), theirs = exp2_fast(m2 - m);
        x.l = x.l * mine + __shfl_xor_sync(0xffffffffu, x.l, step) * theirs;
#pragma unroll
        for (int i = 0; i < 8; ++i) x.o[i] = x.o[i] * mine + __shfl_xor_sync(0xffffffffu, x.o[i], step) * theirs;
        x.m = m;
    }
    __syncthreads();  // the merge area may still be read from an earlier segment
    if ((tid & 31) < LANES) {
#pragma unroll
        for (int i = 0; i < 8; ++i) merge_o[tid / 32][chunk * 8 + i] = x.o[i];
        merge_m[tid / 32] = x.m;
        merge_l[tid / 32] = x.l;
    }
    __syncthreads();
    m_out = -1e30f;
#pragma unroll
    for (int w = 0; w < WARPS; ++w) m_out = fmaxf(m_out, merge_m[w]);
    l_out = o_out = 0.0f;
#pragma unroll
    for (int w = 0; w < WARPS; ++w) {
        const float scale = exp2_fast(merge_m[w] - m_out);
        l_out += merge_l[w] * scale;
        o_out += merge_o[w][tid % D] * scale;
    }
}
__device__ __forceinline__ void write_out(u64 o_at, int head, float value) {
    if (threadIdx.x < D) ((unsigned short*)o_at)[(u64)head * D + threadIdx.x] = (unsigned short)pack_half2(value, 0.0f);
}

extern "C" __device__ int decode_heads(int* status, u64 q, u64 k, u64 v, u64 o, int length, float scale_log2) {
    float x, m, l;
    attend(q, k, v, blockIdx.x, length, 0, length, scale_log2, x, m, l);
    write_out(o, blockIdx.x, x / l);
    return 0;
}

extern "C" __device__ int decode_split(int* status, u64 q, u64 k, u64 v, u64 part, int splits, int length, float scale_log2) {
    const int head = blockIdx.x / splits, split = blockIdx.x % splits, tiles = (length + TILE - 1) / TILE;
    const int begin = (int)((long long)split * tiles / splits) * TILE, end = min(length, (int)((long long)(split + 1) * tiles / splits) * TILE);
    float x, m, l, *slot = (float*)part + (u64)blockIdx.x * SLOT;
    attend(q, k, v, head, length, begin, end, scale_log2, x, m, l);
    if (threadIdx.x < D) slot[2 + threadIdx.x] = x;
    if (threadIdx.x == 0) {
        slot[0] = m;
        slot[1] = l;
    }
    return 0;
}

extern "C" __device__ int decode_combine(int* status, u64 part, u64 o, int splits) {  // a block a head, D threads
    const float* slot = (const float*)part + (u64)blockIdx.x * splits * SLOT;
    float m = -1e30f, l = 0.0f, x = 0.0f;
    for (int s = 0; s < splits; ++s) m = fmaxf(m, slot[s * SLOT]);
    for (int s = 0; s < splits; ++s) {
        const float scale = exp2_fast(slot[s * SLOT] - m);
        l += slot[s * SLOT + 1] * scale;
        x += slot[s * SLOT + 2 + threadIdx.x] * scale;
    }
    write_out(o, blockIdx.x, x / l);
    return 0;
}

// Every block gets an equal run of tiles over all heads. A block that starts inside a head leaves a partial result in its slot and raises
// its flag; the block that starts a head finishes it. All blocks must be resident at once. Flags are zero on entry and again on exit.
extern "C" __device__ int decode_stream(int* status, u64 q, u64 k, u64 v, u64 o, u64 part, u64 flags_at, int heads, int length, float scale_log2) {
    const int tiles = (length + TILE - 1) / TILE, tid = threadIdx.x;
    const long long total = (long long)heads * tiles, grid = gridDim.x, block = blockIdx.x;
    const long long stop = (block + 1) * total / grid;
    volatile int* flags = (volatile int*)flags_at;
    for (long long at = block * total / grid; at < stop;) {
        const int head = (int)(at / tiles), first = (int)(at % tiles), last = (int)min((long long)tiles, first + stop - at);
        float x, m, l;
        attend(q, k, v, head, length, first * TILE, min(length, last * TILE), scale_log2, x, m, l);
        at += last - first;
        if (first > 0) {
            float* slot = (float*)part + (u64)block * SLOT;
            if (tid < D) slot[2 + tid] = x;
            if (tid == 0) {
                slot[0] = m;
                slot[1] = l;
            }
            __threadfence();
            __syncthreads();
            if (tid == 0) flags[block] = 1;
            continue;
        }
        const long long head_end = (long long)(head + 1) * tiles;
        if (at < head_end) {  // the following blocks hold the rest of this head: wait for all of them, then merge
            int others = 0;
            for (long long seen = at; seen < head_end; ++others) seen = (block + 2 + others) * total / grid;
            for (int i = tid; i < others; i += THREADS) {
                while (flags[block + 1 + i] == 0) __nanosleep(64);
                flags[block + 1 + i] = 0;
            }
            __threadfence();
            __syncthreads();
            const float* slots = (const float*)part + (u64)(block + 1) * SLOT;
            float top = m;
#pragma unroll 8
            for (int i = 0; i < others; ++i) top = fmaxf(top, load_l2(slots + (u64)i * SLOT));
            const float mine = exp2_fast(m - top);
            l *= mine;
            x *= mine;
#pragma unroll 8
            for (int i = 0; i < others; ++i) {
                const float* slot = slots + (u64)i * SLOT;
                const float scale = exp2_fast(load_l2(slot) - top);
                l += load_l2(slot + 1) * scale;
                x += load_l2(slot + 2 + tid % D) * scale;
            }
        }
        write_out(o, head, x / l);
    }
    return 0;
}
