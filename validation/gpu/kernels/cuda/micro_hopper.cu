// Microbenchmarks of sm_90a: rates of wgmma, dense and 2:4, from shared memory; tiles by TMA from L2; requests for few lines of L2.
// Macros: WIDTH (columns of a product), or SHARE (blocks that read the same tiles), or neither.
__device__ __forceinline__ void keep(u64 to, float v) { ((float*)to)[(u64)blockIdx.x * blockDim.x + threadIdx.x] = v; }
#ifdef WIDTH
__device__ __forceinline__ u32 fill(u64 from) {  // 48 KiB of operands from memory
    extern __shared__ __align__(1024) unsigned char shared[];
    const u32 base = (shared_address(shared) + 1023) & ~1023u;
    for (int i = threadIdx.x; i < 3072; i += blockDim.x) {
        const uint4 v = load_global((const void*)(from + (u64)i * 16));
        asm volatile("st.shared.v4.u32 [%0], {%1,%2,%3,%4};\n" ::"r"(base + i * 16), "r"(v.x), "r"(v.y), "r"(v.z), "r"(v.w) : "memory");
    }
    asm volatile("fence.proxy.async.shared::cta;\n" ::: "memory");
    __syncthreads();
    return base;
}
extern "C" __device__ int wgmma_rate(int* status, u64 from, u64 to, int n, int iterations) {  // 4 products of 64 x WIDTH x 16 a warp group and iteration
    const u32 base = fill(from);
    float d[WIDTH / 2];
#pragma unroll
    for (int i = 0; i < WIDTH / 2; ++i) d[i] = 0.0f;
    for (int t = 0; t < iterations; ++t) {
        held(d);
        wgmma_fence();
#pragma unroll
        for (int ks = 0; ks < 4; ++ks) wgmma(d, operand(base + ks * 32), operand(base + 16384 + ks * 32), 1);
        wgmma_commit();
        held(d);
        wgmma_wait<1>();
    }
    wgmma_wait<0>();
    held(d);
    float s = 0.0f;
#pragma unroll
    for (int i = 0; i < WIDTH / 2; ++i) s += d[i];
    keep(to, s);
    return 0;
}
#if WIDTH >= 128
extern "C" __device__ int wgmma_sparse_rate(int* status, u64 from, u64 to, int n, int iterations) {  // 4 of 64 x WIDTH x 32, half of A's values kept
    const u32 base = fill(from);
    float d[WIDTH / 2];
#pragma unroll
    for (int i = 0; i < WIDTH / 2; ++i) d[i] = 0.0f;
    for (int t = 0; t < iterations; ++t) {
        held(d);
        wgmma_fence();
#pragma unroll
        for (int ks = 0; ks < 4; ++ks) wgmma_sparse<0>(d, operand(base + ks * 32), operand(base + 16384 + (ks & 1) * 64), 0x44444444u, 1);
        wgmma_commit();
        held(d);
        wgmma_wait<1>();
    }
    wgmma_wait<0>();
    held(d);
    float s = 0.0f;
#pragma unroll
    for (int i = 0; i < WIDTH / 2; ++i) s += d[i];
    keep(to, s);
    return 0;
}
#endif
#endif
// Every warp asks for one of n lines of 128 bytes at a time, past L1: 4 requests in flight, 8 threads a line's 8 pieces, 4 times the same
extern "C" __device__ int line_rate(int* status, u64 from, u64 to, int n, int iterations) {
    u32 s = 0;
    const int warp = (blockIdx.x * blockDim.x + threadIdx.x) >> 5;
    for (int t = 0; t < iterations; ++t) {
        uint4 v[4];
#pragma unroll
        for (int u = 0; u < 4; ++u) {
            const u64 p = from + (u64)((u32)(warp + t * 4 + u) % (u32)n) * 128 + (threadIdx.x & 7) * 16;
            asm volatile("ld.global.cg.v4.u32 {%0,%1,%2,%3}, [%4];\n" : "=r"(v[u].x), "=r"(v[u].y), "=r"(v[u].z), "=r"(v[u].w) : "l"(p));
        }
#pragma unroll
        for (int u = 0; u < 4; ++u) s ^= v[u].x ^ v[u].y ^ v[u].z ^ v[u].w;
    }
    keep(to, (float)s);
    return 0;
}
// The same by cp.async, as a product's tiles come: 8 threads a row of 128 bytes, four rows a warp, all of them line (warp + t) % n
extern "C" __device__ int line_copy_rate(int* status, u64 from, u64 to, int n, int iterations) {
    __shared__ __align__(16) unsigned char rows[16384];
    const u32 base = shared_address(rows) + threadIdx.x * 16;
    const int warp = (blockIdx.x * blockDim.x + threadIdx.x) >> 5;
    for (int t = 0; t < iterations; ++t) {
#pragma unroll
        for (int u = 0; u < 4; ++u)
            copy_async(base + u * 4096, (const void*)(from + (u64)((u32)(warp + t * 4 + u) % (u32)n) * 128 + (threadIdx.x & 7) * 16));
        copy_commit();
        copy_wait<0>();
    }
    __syncthreads();
    keep(to, (float)rows[threadIdx.x]);
    return 0;
}
#ifdef SHARE
// Tiles of 128 rows of 128 bytes by TMA, six in flight a block; n tiles in all, which SHARE neighbours read at a time
extern "C" __device__ int tile_rate(int* status, u64 map, u64 to, int n, int iterations) {
    constexpr int STAGES = 6, TILE = 16384;
    extern __shared__ __align__(1024) unsigned char shared[];
    const u32 base = (shared_address(shared) + 1023) & ~1023u, full = base + STAGES * TILE;
    if (threadIdx.x == 0) {
        for (int s = 0; s < STAGES; ++s) barrier_init(full + 8 * s, 1);
        barriers_made();
        map_acquire(map);
        const int first = (int)((u64)(blockIdx.x / SHARE) * n / ((gridDim.x + SHARE - 1) / SHARE));
        int stage = 0;
        u32 phase = 0;
        for (int t = 0; t < iterations + STAGES; ++t) {
            if (t >= STAGES) barrier_wait(full + 8 * stage, phase ^ 1);
            if (t < iterations) {
                barrier_expect(full + 8 * stage, TILE);
                copy_tile(base + stage * TILE, map, 0, (first + t) % n * 128, full + 8 * stage);
            }
            if (++stage == STAGES) stage = 0, phase ^= 1;
        }
    }
    keep(to, (float)n);
    return 0;
}
#endif
