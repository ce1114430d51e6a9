// Work of transformer layers around their products, FP16 in and out, 16-byte accesses: RMSNorm, rotary embedding, SwiGLU.
// Macros: THREADS; PIECES (16-byte pieces of a row that a thread keeps) for RMSNorm, UNROLL for SwiGLU, D (head dim) for rotary embedding.
__device__ __forceinline__ void eight(uint4 v, float (&f)[8]) {
    unpack_half2(v.x, f[0], f[1]);
    unpack_half2(v.y, f[2], f[3]);
    unpack_half2(v.z, f[4], f[5]);
    unpack_half2(v.w, f[6], f[7]);
}
__device__ __forceinline__ uint4 packed(const float (&f)[8]) {
    return make_uint4(pack_half2(f[0], f[1]), pack_half2(f[2], f[3]), pack_half2(f[4], f[5]), pack_half2(f[6], f[7]));
}
__device__ __forceinline__ uint4 load_cached(u64 p) {
    uint4 v;
    asm volatile("ld.global.nc.v4.u32 {%0,%1,%2,%3}, [%4];\n" : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "l"(p));
    return v;
}
#ifdef PIECES
// y = x / sqrt(mean(x^2) + epsilon) * weight, a block a row, the row kept in registers. Columns a multiple of 8, at most THREADS * PIECES * 8.
extern "C" __device__ int rmsnorm16(int* status, u64 x_at, u64 weight_at, u64 y_at, int columns, float epsilon) {
    __shared__ float parts[THREADS / 32];
    const u64 row = (u64)blockIdx.x * columns * 2;
    uint4 v[PIECES];
    float sum = 0.0f, f[8], w[8];
#pragma unroll
    for (int i = 0; i < PIECES; ++i) {
        const int c = (threadIdx.x + i * THREADS) * 8;
        v[i] = c < columns ? load_global((const void*)(x_at + row + c * 2)) : make_uint4(0, 0, 0, 0);
    }
#pragma unroll
    for (int i = 0; i < PIECES; ++i) {
        eight(v[i], f);
#pragma unroll
        for (int j = 0; j < 8; ++j) sum = fmaf(f[j], f[j], sum);
    }
#pragma unroll
    for (int step = 16; step > 0; step /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, step);
    if ((threadIdx.x & 31) == 0) parts[threadIdx.x / 32] = sum;
    __syncthreads();
    sum = 0.0f;
#pragma unroll
    for (int i = 0; i < THREADS / 32; ++i) sum += parts[i];
    const float inverse = rsqrtf(sum / columns + epsilon);
#pragma unroll
    for (int i = 0; i < PIECES; ++i) {
        const int c = (threadIdx.x + i * THREADS) * 8;
        if (c < columns) {
            eight(v[i], f);
            eight(load_cached(weight_at + c * 2), w);
#pragma unroll
            for (int j = 0; j < 8; ++j) f[j] *= inverse * w[j];
            store_global((void*)(y_at + row + c * 2), packed(f));
        }
    }
    return 0;
}
#endif
#ifdef D
// y = x turned by its position's angles, halves of a head as pairs: x is [token][head][D], cosines and sines [token][D / 2] in FP32.
extern "C" __device__ int rope16(int* status, u64 x_at, u64 cos_at, u64 sin_at, u64 y_at, int heads, long long pieces) {
    constexpr int HALF = D / 16;  // 16-byte pieces of half a head
    const long long at = (long long)blockIdx.x * THREADS + threadIdx.x;
    if (at >= pieces) return 0;
    const int c = (int)(at % HALF);
    const long long row = at / HALF;
    const u64 first = (u64)row * D * 2 + c * 16, angle = ((u64)(row / heads) * (D / 2) + c * 8) * 4;
    const uint4 u = load_global((const void*)(x_at + first)), v = load_global((const void*)(x_at + first + D));
    float a[8], b[8], p[8], q[8];
#pragma unroll
    for (int i = 0; i < 2; ++i) {
        const uint4 cosines = load_cached(cos_at + angle + i * 16), sines = load_cached(sin_at + angle + i * 16);
        p[4 * i] = __uint_as_float(cosines.x), p[4 * i + 1] = __uint_as_float(cosines.y);
        p[4 * i + 2] = __uint_as_float(cosines.z), p[4 * i + 3] = __uint_as_float(cosines.w);
        q[4 * i] = __uint_as_float(sines.x), q[4 * i + 1] = __uint_as_float(sines.y);
        q[4 * i + 2] = __uint_as_float(sines.z), q[4 * i + 3] = __uint_as_float(sines.w);
    }
    eight(u, a);
    eight(v, b);
#pragma unroll
    for (int i = 0; i < 8; ++i) {
        const float x = a[i] * p[i] - b[i] * q[i];
        b[i] = b[i] * p[i] + a[i] * q[i];
        a[i] = x;
    }
    store_global((void*)(y_at + first), packed(a));
    store_global((void*)(y_at + first + D), packed(b));
    return 0;
}
#endif
#ifdef UNROLL
// y = gate * sigmoid(gate) * up; a row of x holds `width` gates, then as many values. Width a multiple of 8.
extern "C" __device__ int swiglu16(int* status, u64 x_at, u64 y_at, int width, long long pieces) {
    const long long first = (long long)blockIdx.x * THREADS * UNROLL + threadIdx.x;
    const int across = width / 8;
    uint4 g[UNROLL], u[UNROLL];
#pragma unroll
    for (int i = 0; i < UNROLL; ++i) {
        const long long at = first + i * THREADS;
        const u64 from = x_at + ((u64)(at / across) * 2 * across + at % across) * 16;
        g[i] = u[i] = make_uint4(0, 0, 0, 0);
        if (at < pieces) {
            g[i] = load_global((const void*)from);
            u[i] = load_global((const void*)(from + (u64)across * 16));
        }
    }
#pragma unroll
    for (int i = 0; i < UNROLL; ++i) {
        float a[8], b[8];
        eight(g[i], a);
        eight(u[i], b);
#pragma unroll
        for (int j = 0; j < 8; ++j) a[j] = __fdividef(a[j], 1.0f + exp2_fast(-1.44269504089f * a[j])) * b[j];
        const long long at = first + i * THREADS;
        if (at < pieces) store_global((void*)(y_at + at * 16), packed(a));
    }
    return 0;
}
#endif
