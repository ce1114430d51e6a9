// y[n] = W[n][k] x[k] in FP16 with FP32 sums, 16-byte loads. K a multiple of 8. Macros: THREADS, UNROLL (pieces of W in flight a thread),
// SPAN (threads that share a row: 32, or THREADS for a block a row).
__device__ __forceinline__ float dot8(uint4 a, uint4 b, float sum) {
    const u32 x[4] = {a.x, a.y, a.z, a.w}, y[4] = {b.x, b.y, b.z, b.w};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        float p, q, r, s;
        unpack_half2(x[i], p, q);
        unpack_half2(y[i], r, s);
        sum = fmaf(q, s, fmaf(p, r, sum));
    }
    return sum;
}
__device__ __forceinline__ uint4 load_cached(u64 p) {
    uint4 v;
    asm volatile("ld.global.nc.v4.u32 {%0,%1,%2,%3}, [%4];\n" : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "l"(p));
    return v;
}
extern "C" __device__ int gemv(int* status, u64 w_at, u64 x_at, u64 y_at, int rows, int columns) {
    constexpr int ROWS = THREADS / SPAN;
    const int lane = threadIdx.x % SPAN, row = blockIdx.x * ROWS + threadIdx.x / SPAN, pieces = columns / 8;
    float sum = 0.0f;
    if (row < rows) {
        const u64 w = w_at + (u64)row * columns * 2;
        for (int at = lane; at < pieces; at += SPAN * UNROLL) {
            uint4 v[UNROLL];
#pragma unroll
            for (int u = 0; u < UNROLL; ++u) v[u] = at + u * SPAN < pieces ? load_global((const void*)(w + (u64)(at + u * SPAN) * 16)) : make_uint4(0, 0, 0, 0);
#pragma unroll
            for (int u = 0; u < UNROLL; ++u)
                if (at + u * SPAN < pieces) sum = dot8(v[u], load_cached(x_at + (u64)(at + u * SPAN) * 16), sum);
        }
    }
#pragma unroll
    for (int step = 16; step > 0; step /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, step);
    if (SPAN > 32) {
        __shared__ float parts[THREADS / 32];
        if ((threadIdx.x & 31) == 0) parts[threadIdx.x / 32] = sum;
        __syncthreads();
        sum = 0.0f;
#pragma unroll
        for (int i = 0; i < THREADS / 32; ++i) sum += parts[i];
    }
    if (lane == 0 && row < rows) ((unsigned short*)y_at)[row] = (unsigned short)pack_half2(sum, 0.0f);
    return 0;
}
