// Microbenchmarks that fit the constants of a GPU: issue rates of FMA, exp2, mma.sync and mma.sp, the L2 read rate, barriers,
// and chains of dependent loads. Every result reaches memory, so that nothing is optimised away.
__device__ __forceinline__ void keep(u64 to, float v) { ((float*)to)[(u64)blockIdx.x * blockDim.x + threadIdx.x] = v; }

extern "C" __device__ int fma_rate(int* status, u64 from, u64 to, int n, int iterations) {  // 64 FMAs a thread and iteration
    float a[8], x = 1.0f + 1e-7f * threadIdx.x, y = 1e-6f * n;
#pragma unroll
    for (int i = 0; i < 8; ++i) a[i] = i + threadIdx.x;
    for (int t = 0; t < iterations; ++t)
#pragma unroll
        for (int r = 0; r < 8; ++r)
#pragma unroll
            for (int i = 0; i < 8; ++i) a[i] = fmaf(a[i], x, y);
    keep(to, a[0] + a[1] + a[2] + a[3] + a[4] + a[5] + a[6] + a[7]);
    return 0;
}
extern "C" __device__ int exp_rate(int* status, u64 from, u64 to, int n, int iterations) {  // 32 ex2 a thread and iteration; 2^-a tends to 0.64
    float a[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) a[i] = 1e-3f * (i + threadIdx.x) + n;
    for (int t = 0; t < iterations; ++t)
#pragma unroll
        for (int r = 0; r < 8; ++r)
#pragma unroll
            for (int i = 0; i < 4; ++i) a[i] = exp2_fast(-a[i]);
    keep(to, a[0] + a[1] + a[2] + a[3]);
    return 0;
}
extern "C" __device__ int mma_rate(int* status, u64 from, u64 to, int n, int iterations) {  // 8 mma.sync a warp and iteration
    float c[8][4];
    u32 a[4], b[2];
#pragma unroll
    for (int i = 0; i < 4; ++i) a[i] = ((const u32*)from)[threadIdx.x * 8 + i];
    b[0] = ((const u32*)from)[threadIdx.x * 8 + 4];
    b[1] = ((const u32*)from)[threadIdx.x * 8 + 5];
#pragma unroll
    for (int i = 0; i < 8; ++i)
#pragma unroll
        for (int r = 0; r < 4; ++r) c[i][r] = 0.0f;
    for (int t = 0; t < iterations; ++t)
#pragma unroll
        for (int i = 0; i < 8; ++i) mma(c[i], a, b[0], b[1]);
    float s = 0.0f;
#pragma unroll
    for (int i = 0; i < 8; ++i) s += c[i][0] + c[i][1] + c[i][2] + c[i][3];
    keep(to, s);
    return 0;
}
extern "C" __device__ int mma_sparse_rate(int* status, u64 from, u64 to, int n, int iterations) {  // 8 mma.sp a warp and iteration
    float c[8][4];
    u32 a[4], b[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
        a[i] = ((const u32*)from)[threadIdx.x * 8 + i];
        b[i] = ((const u32*)from)[threadIdx.x * 8 + 4 + i];
    }
#pragma unroll
    for (int i = 0; i < 8; ++i)
#pragma unroll
        for (int r = 0; r < 4; ++r) c[i][r] = 0.0f;
    for (int t = 0; t < iterations; ++t)
#pragma unroll
        for (int i = 0; i < 8; ++i) mma_sparse<0>(c[i], a, b, 0x44444444u);
    float s = 0.0f;
#pragma unroll
    for (int i = 0; i < 8; ++i) s += c[i][0] + c[i][1] + c[i][2] + c[i][3];
    keep(to, s);
    return 0;
}
extern "C" __device__ int l2_rate(int* status, u64 from, u64 to, int n, int iterations) {  // all blocks read the n 16-byte pieces, each from its own start
    u32 s = 0;
    const int stride = blockDim.x * 4;
    for (int t = 0; t < iterations; ++t) {
        int at = (int)(((u64)blockIdx.x * n / gridDim.x + (u64)t * stride) % n) + threadIdx.x;
        uint4 v[4];
#pragma unroll
        for (int u = 0; u < 4; ++u) {
            int i = at + u * blockDim.x;
            const unsigned char* p = (const unsigned char*)from + (u64)(i >= n ? i - n : i) * 16;
            asm volatile("ld.global.cg.v4.u32 {%0,%1,%2,%3}, [%4];\n" : "=r"(v[u].x), "=r"(v[u].y), "=r"(v[u].z), "=r"(v[u].w) : "l"(p));
        }
#pragma unroll
        for (int u = 0; u < 4; ++u) s ^= v[u].x ^ v[u].y ^ v[u].z ^ v[u].w;
    }
    keep(to, (float)s);
    return 0;
}
extern "C" __device__ int barrier_rate(int* status, u64 from, u64 to, int n, int iterations) {
    for (int t = 0; t < iterations; ++t) __syncthreads();
    keep(to, (float)n);
    return 0;
}
extern "C" __device__ int chase_global(int* status, u64 from, u64 to, int n, int iterations) {  // one thread follows next[] past L1
    u32 at = n;
    for (int t = 0; t < iterations; ++t)
        asm volatile("ld.global.cg.u32 %0, [%1];\n" : "=r"(at) : "l"(from + (u64)at * 4) : "memory");
    keep(to, (float)at);
    return 0;
}
extern "C" __device__ int chase_cached(int* status, u64 from, u64 to, int n, int iterations) {  // the same through L1
    u32 at = n;
    for (int t = 0; t < iterations; ++t)
        asm volatile("ld.global.ca.u32 %0, [%1];\n" : "=r"(at) : "l"(from + (u64)at * 4) : "memory");
    keep(to, (float)at);
    return 0;
}
extern "C" __device__ int chase_shared(int* status, u64 from, u64 to, int n, int iterations) {
    __shared__ u32 next[1024];
    for (int i = threadIdx.x; i < 1024; i += blockDim.x) next[i] = ((i + 33) & 1023) * 4;
    __syncthreads();
    u32 at = n * 4, base = shared_address(next);
    for (int t = 0; t < iterations; ++t) asm volatile("ld.shared.u32 %0, [%1];\n" : "=r"(at) : "r"(base + at) : "memory");
    keep(to, (float)at);
    return 0;
}
extern "C" __device__ int read_rate(int* status, u64 from, u64 to, int n, int iterations) {  // the blocks read n 16-byte pieces once, four in flight a thread
    u32 s = 0;
    for (int t = 0; t < iterations; ++t) {
        const u64 at = ((u64)t * gridDim.x + blockIdx.x) * blockDim.x * 4 + threadIdx.x;
        uint4 v[4];
#pragma unroll
        for (int u = 0; u < 4; ++u) {
            v[u] = make_uint4(0, 0, 0, 0);
            if (at + u * blockDim.x < n) v[u] = load_global((const unsigned char*)from + (at + u * blockDim.x) * 16);
        }
#pragma unroll
        for (int u = 0; u < 4; ++u) s ^= v[u].x ^ v[u].y ^ v[u].z ^ v[u].w;
    }
    keep(to, (float)s);
    return 0;
}
extern "C" __device__ int write_rate(int* status, u64 from, u64 to, int n, int iterations) {  // the blocks write n 16-byte pieces once
    for (int t = 0; t < iterations; ++t) {
        const u64 at = ((u64)t * gridDim.x + blockIdx.x) * blockDim.x * 4 + threadIdx.x;
#pragma unroll
        for (int u = 0; u < 4; ++u)
            if (at + u * blockDim.x < n) store_global((unsigned char*)to + (at + u * blockDim.x) * 16, make_uint4(t, threadIdx.x, u, blockIdx.x));
    }
    return 0;
}
extern "C" __device__ int shared_rate(int* status, u64 from, u64 to, int n, int iterations) {  // 8 reads of 16 bytes a thread and iteration, no bank conflicts
    __shared__ uint4 words[1024];
    for (int i = threadIdx.x; i < 1024; i += blockDim.x) words[i] = ((const uint4*)from)[i];
    __syncthreads();
    const u32 base = shared_address(words);
    u32 s = 0, at = threadIdx.x;
    for (int t = 0; t < iterations; ++t) {
#pragma unroll
        for (int u = 0; u < 8; ++u) {
            uint4 v;
            asm volatile("ld.volatile.shared.v4.u32 {%0,%1,%2,%3}, [%4];\n" : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "r"(base + ((at + u * 32) & 1023) * 16));
            s ^= v.x ^ v.y ^ v.z ^ v.w;
        }
        at += 8;
    }
    keep(to, (float)s);
    return 0;
}
extern "C" __device__ int exchange_rate(int* status, u64 from, u64 to, int n, int iterations) {  // a sum over 256 threads as in rows.py: each adds 32 partial sums of 8
    __shared__ float scratch[288];
    float v = 1e-3f * threadIdx.x;
    for (int t = 0; t < iterations; ++t) {
        __syncthreads();
        scratch[threadIdx.x] = v;
        __syncthreads();
        if (threadIdx.x < 32) {
            float part = scratch[threadIdx.x];
#pragma unroll
            for (int i = 1; i < 8; ++i) part += scratch[threadIdx.x + 32 * i];
            scratch[256 + threadIdx.x] = part;
        }
        __syncthreads();
        float total = scratch[256];
#pragma unroll
        for (int i = 1; i < 32; ++i) total += scratch[256 + i];
        v = fmaf(total, 1e-3f, 1e-3f * threadIdx.x);
    }
    keep(to, v);
    return 0;
}
extern "C" __device__ int touch(int* status, u64 from, u64 to, int n, int iterations) {  // one load of 16 bytes a thread, then its sum is stored
    const uint4 v = load_global((const unsigned char*)from + ((u64)blockIdx.x * blockDim.x + threadIdx.x) * 16);
    keep(to, (float)(v.x ^ v.y ^ v.z ^ v.w));
    return 0;
}
