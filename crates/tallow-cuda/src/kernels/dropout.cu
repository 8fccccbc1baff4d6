// Dropout and drop path with the masks of the CPU: ChaCha8 with the key (seed, step, layer, purpose), value by value.

/// 16 words of ChaCha's stream, block `counter`, under a key of four words of 64 bits.
__device__ inline void chacha8(const u64* key, u64 counter, u32* out) {
    u32 start[16] = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574};
#pragma unroll
    for (int i = 0; i < 4; i++) {
        start[4 + 2 * i] = (u32)key[i];
        start[5 + 2 * i] = (u32)(key[i] >> 32);
    }
    start[12] = (u32)counter;
    start[13] = (u32)(counter >> 32);
    start[14] = start[15] = 0;
#pragma unroll
    for (int i = 0; i < 16; i++) out[i] = start[i];
    auto quarter = [&](int a, int b, int c, int d) {
        auto turn = [](u32 word, int by) { return word << by | word >> (32 - by); };
        out[a] += out[b];
        out[d] = turn(out[d] ^ out[a], 16);
        out[c] += out[d];
        out[b] = turn(out[b] ^ out[c], 12);
        out[a] += out[b];
        out[d] = turn(out[d] ^ out[a], 8);
        out[c] += out[d];
        out[b] = turn(out[b] ^ out[c], 7);
    };
#pragma unroll
    for (int round = 0; round < 4; round++) {
        quarter(0, 4, 8, 12);
        quarter(1, 5, 9, 13);
        quarter(2, 6, 10, 14);
        quarter(3, 7, 11, 15);
        quarter(0, 5, 10, 15);
        quarter(1, 6, 11, 12);
        quarter(2, 7, 8, 13);
        quarter(3, 4, 9, 14);
    }
#pragma unroll
    for (int i = 0; i < 16; i++) out[i] += start[i];
}

/// Writes the warp's values: those of lane `j`'s word lie at 32·j.
template <class T>
__device__ inline void apply_bits(const T* x, T* y, u32 bits, float scale, u64 first, u64 n) {
    for (int j = 0; j < 32; j++) {
        u32 word = __shfl_sync(ALL_LANES, bits, j);
        u64 at = first + 32 * j + threadIdx.x % 32;
        if (at < n) {
            float factor = word >> (threadIdx.x % 32) & 1 ? scale : 0.0f;
            store(&y[at], to_f32(x[at]) * factor);
        }
    }
}

/// `x · scale` where 16 random bits are at least `limit`, 0 · x elsewhere; and the bits, one for each value. The key is
/// two words in memory (seed, step), which a recorded step reads afresh, and two by value (layer, purpose).
template <class T>
__device__ void dropout_forward(const T* x, T* y, u32* kept, const u64* seed_and_step, u64 layer, u64 purpose,
                                u32 limit, float scale, u64 n) {
    u64 word = global_thread(), first = word / 32 * 1024;
    u64 key[4] = {seed_and_step[0], seed_and_step[1], layer, purpose};
    u32 draws[16], bits = 0;
    chacha8(key, word, draws);
#pragma unroll
    for (int i = 0; i < 32; i++) bits |= (u32)((draws[i / 2] >> 16 * (i % 2) & 0xffff) >= limit) << i;
    if (word < (n + 31) / 32) kept[word] = bits;
    apply_bits(x, y, bits, scale, first, n);
}
#define PARAMETERS(T)                                                                                        \
    (const T* x, T* y, u32* kept, const u64* seed_and_step, u64 layer, u64 purpose, u32 limit, float scale, u64 n)
BOTH(dropout_forward, PARAMETERS, (x, y, kept, seed_and_step, layer, purpose, limit, scale, n))
#undef PARAMETERS

template <class T>
__device__ void dropout_backward(const T* dy, const u32* kept, T* dx, float scale, u64 n) {
    u64 word = global_thread(), first = word / 32 * 1024;
    apply_bits(dy, dx, word < (n + 31) / 32 ? kept[word] : 0, scale, first, n);
}
#define PARAMETERS(T) (const T* dy, const u32* kept, T* dx, float scale, u64 n)
BOTH(dropout_backward, PARAMETERS, (dy, kept, dx, scale, n))
#undef PARAMETERS

/// The factor of each sample of a drop path: `scale` where a draw of 32 bits is at least `limit`, else 0.
extern "C" __global__ void __launch_bounds__(256)
    drop_path_factors(float* factors, const u64* seed_and_step, u64 layer, u64 purpose, double limit, float scale, int n) {
    u64 block = global_thread();
    if (block * 16 >= (u64)n) return;
    u64 key[4] = {seed_and_step[0], seed_and_step[1], layer, purpose};
    u32 draws[16];
    chacha8(key, block, draws);
    for (int i = 0; i < 16 && block * 16 + i < (u64)n; i++) factors[block * 16 + i] = (double)draws[i] >= limit ? scale : 0.0f;
}

/// Each sample of `len` values times its factor; a factor of 0 gives zeros whatever the sample
/// holds. 16 bytes at once only where they lie in one sample.
template <class T>
__device__ void scale_samples(const T* x, const float* factors, T* y, u64 n, u32 len, int vector) {
    flat<T>(n, vector, [&](auto width, size_t at) {
        const int N = decltype(width)::N;
        float values[N];
        float factor = factors[at / len];
        read<N>(x + at, values);
#pragma unroll
        for (int i = 0; i < N; i++) values[i] = factor != 0.0f ? values[i] * factor : 0.0f;
        write<N>(y + at, values);
    });
}
#define PARAMETERS(T) (const T* x, const float* factors, T* y, u64 n, u32 len, int vector)
BOTH(scale_samples, PARAMETERS, (x, factors, y, n, len, vector))
#undef PARAMETERS
