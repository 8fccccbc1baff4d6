// Sequences of tokens: position embeddings, concatenation, selection.

/// `x [samples, len]` plus the same `added [len]` for each sample.
template <class T>
__device__ void add_to_each(const T* x, const T* added, T* y, u32 n, u32 len, int vector) {
    flat<T>(n, vector, [&](auto width, size_t at) {
        const int N = decltype(width)::N;
        float values[N], more[N];
        read<N>(x + at, values);
        read<N>(added + (u32)at % len, more);
#pragma unroll
        for (int i = 0; i < N; i++) values[i] += more[i];
        write<N>(y + at, values);
    });
}
#define PARAMETERS(T) (const T* x, const T* added, T* y, u32 n, u32 len, int vector)
BOTH(add_to_each, PARAMETERS, (x, added, y, n, len, vector))
#undef PARAMETERS

/// Copies `len` values of each sample: from place `from` of `x`'s `x_stride` values to place `to` of `y`'s `y_stride`;
/// an `x_stride` of 0 gives every sample the same values. If `fill`, the rest of `y`'s sample becomes 0. `n` is the
/// samples times `y_stride` if `fill`, else times `len`.
template <class T>
__device__ void copy_range(const T* x, T* y, u32 n, u32 len, u32 x_stride, u32 from, u32 y_stride, u32 to, int fill,
                           int vector) {
    flat<T>(n, vector, [&](auto width, size_t flat_at) {
        const int N = decltype(width)::N;
        u32 span = fill ? y_stride : len;
        u32 sample = (u32)flat_at / span, at = (u32)flat_at % span;
        if (!fill) at += to;
        float values[N] = {};
        if (at >= to && at < to + len) read<N>(x + (size_t)sample * x_stride + from + (at - to), values);
        write<N>(y + (size_t)sample * y_stride + at, values);
    });
}
#define PARAMETERS(T) \
    (const T* x, T* y, u32 n, u32 len, u32 x_stride, u32 from, u32 y_stride, u32 to, int fill, int vector)
BOTH(copy_range, PARAMETERS, (x, y, n, len, x_stride, from, y_stride, to, fill, vector))
#undef PARAMETERS
