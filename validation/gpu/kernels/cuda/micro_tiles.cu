// wgmma on operands that change: what a product draws depends on its data. Macros: WIDTH (columns of a product).
// 4 products of 64 x WIDTH x 16 a warp group and iteration, of A_TILES x 8 KiB and B_TILES x WIDTH x 128 bytes of operands in turn.
constexpr int A_TILES = 4, B_TILES = 3;
extern "C" __device__ int product_energy(int* status, u64 from, u64 to, int n, int iterations) {
    extern __shared__ __align__(1024) unsigned char shared[];
    const u32 base = (shared_address(shared) + 1023) & ~1023u, b_base = base + A_TILES * 8192;
    for (int i = threadIdx.x; i < (A_TILES * 8192 + B_TILES * WIDTH * 128) / 16; i += blockDim.x) {
        const uint4 v = load_global((const void*)(from + (u64)i * 16));
        asm volatile("st.shared.v4.u32 [%0], {%1,%2,%3,%4};\n" ::"r"(base + i * 16), "r"(v.x), "r"(v.y), "r"(v.z), "r"(v.w) : "memory");
    }
    asm volatile("fence.proxy.async.shared::cta;\n" ::: "memory");
    __syncthreads();
    const int group = threadIdx.x >> 7;
    float d[WIDTH / 2];
#pragma unroll
    for (int i = 0; i < WIDTH / 2; ++i) d[i] = 0.0f;
    for (int t = 0; t < iterations; ++t) {
        const u32 a = base + (t + group) % A_TILES * 8192, b = b_base + t % B_TILES * (WIDTH * 128);
        held(d);
        wgmma_fence();
#pragma unroll
        for (int ks = 0; ks < 4; ++ks) wgmma(d, operand(a + ks * 32), operand(b + ks * 32), 1);
        wgmma_commit();
        held(d);
        wgmma_wait<1>();
    }
    wgmma_wait<0>();
    held(d);
    float s = 0.0f;
#pragma unroll
    for (int i = 0; i < WIDTH / 2; ++i) s += d[i];
    ((float*)to)[(u64)blockIdx.x * blockDim.x + threadIdx.x] = s;
    return 0;
}
