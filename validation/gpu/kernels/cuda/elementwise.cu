// Streaming kernels with 16-byte accesses: a copy with UNROLL accesses in flight a thread, and a GELU over FP16.
// Macros: UNROLL. `chunks` counts 16-byte pieces; a grid-stride loop over whole block tiles.
extern "C" __device__ int copy16(int* status, u64 from_at, u64 to_at, long long chunks) {
    const unsigned char* from = (const unsigned char*)from_at;
    unsigned char* to = (unsigned char*)to_at;
    const long long tile = (long long)blockDim.x * UNROLL;
    for (long long at = blockIdx.x * tile + threadIdx.x; at < chunks; at += gridDim.x * tile) {
        uint4 v[UNROLL];
#pragma unroll
        for (int u = 0; u < UNROLL; ++u)
            if (at + u * blockDim.x < chunks) v[u] = load_global(from + (at + u * blockDim.x) * 16);
#pragma unroll
        for (int u = 0; u < UNROLL; ++u)
            if (at + u * blockDim.x < chunks) store_global(to + (at + u * blockDim.x) * 16, v[u]);
    }
    return 0;
}
__device__ __forceinline__ u32 gelu2(u32 v) {
    float x, y;
    unpack_half2(v, x, y);
    const float a = x * (1.5957691216f + 0.0713548162726f * x * x), b = y * (1.5957691216f + 0.0713548162726f * y * y);
    return pack_half2(x / (1.0f + exp2_fast(-1.44269504089f * a)), y / (1.0f + exp2_fast(-1.44269504089f * b)));
}
extern "C" __device__ int gelu16(int* status, u64 from_at, u64 to_at, long long chunks) {
    const long long tile = (long long)blockDim.x * UNROLL;
    for (long long at = blockIdx.x * tile + threadIdx.x; at < chunks; at += gridDim.x * tile) {
        uint4 v[UNROLL];
#pragma unroll
        for (int u = 0; u < UNROLL; ++u)
            if (at + u * blockDim.x < chunks) v[u] = load_global((const unsigned char*)from_at + (at + u * blockDim.x) * 16);
#pragma unroll
        for (int u = 0; u < UNROLL; ++u)
            if (at + u * blockDim.x < chunks)
                store_global((unsigned char*)to_at + (at + u * blockDim.x) * 16, make_uint4(gelu2(v[u].x), gelu2(v[u].y), gelu2(v[u].z), gelu2(v[u].w)));
    }
    return 0;
}
