// Three-pass softmax over rows of FP16 scores: maximum, sum of exponentials, then exponential times inverse; a block a row, 16-byte accesses.
// Macros: THREADS. Columns a multiple of 8. CAUSAL: row r of a head of `length` rows sees columns 0..r, the rest become zero.
__device__ __forceinline__ float block_reduce(float v, bool maximum) {
    __shared__ float parts[THREADS / 32];
#pragma unroll
    for (int step = 16; step > 0; step /= 2) {
        const float w = __shfl_xor_sync(0xffffffffu, v, step);
        v = maximum ? fmaxf(v, w) : v + w;
    }
    __syncthreads();
    if ((threadIdx.x & 31) == 0) parts[threadIdx.x / 32] = v;
    __syncthreads();
    v = parts[0];
#pragma unroll
    for (int w = 1; w < THREADS / 32; ++w) v = maximum ? fmaxf(v, parts[w]) : v + parts[w];
    return v;
}
__device__ __forceinline__ void eight(uint4 v, float (&f)[8]) {
    unpack_half2(v.x, f[0], f[1]);
    unpack_half2(v.y, f[2], f[3]);
    unpack_half2(v.z, f[4], f[5]);
    unpack_half2(v.w, f[6], f[7]);
}
__device__ __forceinline__ uint4 load_cached(const void* p) {
    uint4 v;
    asm volatile("ld.global.v4.u32 {%0,%1,%2,%3}, [%4];\n" : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "l"(p));
    return v;
}
extern "C" __device__ int softmax_f16(int* status, u64 from_at, u64 to_at, int columns, int length, int causal) {
    constexpr float LOG2E = 1.44269504089f;
    const u64 row_at = (u64)blockIdx.x * columns * 2;
    const unsigned char* from = (const unsigned char*)from_at + row_at;
    unsigned char* to = (unsigned char*)to_at + row_at;
    const int seen = causal ? (int)(blockIdx.x % length) + 1 : columns, step = THREADS * 8;
    float f[8], top = -1e30f, sum = 0.0f;
#pragma unroll 4
    for (int c = threadIdx.x * 8; c < seen; c += step) {
        eight(load_cached(from + c * 2), f);
#pragma unroll
        for (int i = 0; i < 8; ++i) top = fmaxf(top, c + i < seen ? f[i] : -1e30f);
    }
    top = block_reduce(top, true) * LOG2E;
#pragma unroll 4
    for (int c = threadIdx.x * 8; c < seen; c += step) {
        eight(load_cached(from + c * 2), f);
#pragma unroll
        for (int i = 0; i < 8; ++i) sum += c + i < seen ? exp2_fast(fmaf(f[i], LOG2E, -top)) : 0.0f;
    }
    const float inverse = 1.0f / block_reduce(sum, false);
#pragma unroll 4
    for (int c = threadIdx.x * 8; c < columns; c += step) {
        if (c < seen) eight(load_cached(from + c * 2), f);
#pragma unroll
        for (int i = 0; i < 8; ++i) f[i] = c + i < seen ? exp2_fast(fmaf(f[i], LOG2E, -top)) * inverse : 0.0f;
        store_global(to + c * 2, make_uint4(pack_half2(f[0], f[1]), pack_half2(f[2], f[3]), pack_half2(f[4], f[5]), pack_half2(f[6], f[7])));
    }
    return 0;
}
