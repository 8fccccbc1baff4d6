// Max and average pooling over windows of channels-last images. A block works on one row of outputs, or of inputs in the
// backward pass, which gathers: every value is written once, in a fixed order.

/// One axis of a pooling.
struct Axis {
    int input, output, kernel, stride, padding;

    /// The input pixels `first..end` under a window.
    __device__ inline void inputs(int out, int* first, int* end) const {
        int start = out * stride - padding;
        *first = max(start, 0);
        *end = max(min(start + kernel, input), *first);
    }

    /// The windows `first..end` over an input pixel.
    __device__ inline void outputs(int pixel, int* first, int* end) const {
        int at = pixel + padding;
        *first = at + 1 <= kernel ? 0 : (at - kernel) / stride + 1;
        *end = max(min(at / stride + 1, output), *first);
    }

    /// The weight of a window's mean along this axis; the padding counts if `with_padding`.
    __device__ inline float weight(int out, int with_padding) const {
        int first, end;
        inputs(out, &first, &end);
        int start = out * stride;
        int count = with_padding ? min(start + kernel, input + 2 * padding) - start : end - first;
        return 1.0f / max(count, 1);
    }
};

/// Calls `body(width, row, column, channel)` for the block's part of a row of `columns` pixels.
template <class T, class F>
__device__ inline void each_in_row(int columns, int c, int vector, F body) {
    with_width<T>(vector, [&](auto width) {
        int at = (blockIdx.y * blockDim.x + threadIdx.x) * decltype(width)::N;
        if (at < columns * c) body(width, at / c, at % c);
    });
}

/// The largest value under each window and, unless `taps` is null, the tap of its place; the first of equal values, a
/// NaN if there is one.
template <class T, class Tap>
__device__ void max_pool_forward(const T* x, T* y, Tap* taps, Axis rows, Axis cols, int c, int vector) {
    int image = blockIdx.x / rows.output, oy = blockIdx.x % rows.output;
    each_in_row<T>(cols.output, c, vector, [&](auto width, int ox, int channel) {
        const int N = decltype(width)::N;
        int y0, y1, x0, x1;
        rows.inputs(oy, &y0, &y1);
        cols.inputs(ox, &x0, &x1);
        int tap_y = y0 - (oy * rows.stride - rows.padding), tap_x = x0 - (ox * cols.stride - cols.padding);
        float best[N];
        int places[N];
#pragma unroll
        for (int i = 0; i < N; i++) {
            best[i] = -INFINITY_F32;
            places[i] = tap_y * cols.kernel + tap_x;
        }
        for (int iy = y0; iy < y1; iy++)
            for (int ix = x0; ix < x1; ix++) {
                int tap = (tap_y + iy - y0) * cols.kernel + tap_x + ix - x0;
                float values[N];
                read<N>(x + (((size_t)image * rows.input + iy) * cols.input + ix) * c + channel, values);
#pragma unroll
                for (int i = 0; i < N; i++) {
                    bool take = values[i] > best[i] || values[i] != values[i];
                    best[i] = take ? values[i] : best[i];
                    places[i] = take ? tap : places[i];
                }
            }
        size_t to = ((size_t)blockIdx.x * cols.output + ox) * c + channel;
        write<N>(y + to, best);
        if (taps)
#pragma unroll
            for (int i = 0; i < N; i++) taps[to + i] = (Tap)places[i];
    });
}

template <class T, class Tap>
__device__ void max_pool_backward(const T* dy, const Tap* taps, T* dx, Axis rows, Axis cols, int c, int vector) {
    int image = blockIdx.x / rows.input, iy = blockIdx.x % rows.input;
    each_in_row<T>(cols.input, c, vector, [&](auto width, int ix, int channel) {
        const int N = decltype(width)::N;
        int y0, y1, x0, x1;
        rows.outputs(iy, &y0, &y1);
        cols.outputs(ix, &x0, &x1);
        float sum[N] = {};
        for (int oy = y0; oy < y1; oy++)
            for (int ox = x0; ox < x1; ox++) {
                int tap_y = iy - (oy * rows.stride - rows.padding), tap_x = ix - (ox * cols.stride - cols.padding);
                Tap tap = (Tap)(tap_y * cols.kernel + tap_x);
                size_t at = (((size_t)image * rows.output + oy) * cols.output + ox) * c + channel;
                float grads[N];
                read<N>(dy + at, grads);
#pragma unroll
                for (int i = 0; i < N; i++) sum[i] += taps[at + i] == tap ? grads[i] : 0.0f;
            }
        write<N>(dx + ((size_t)blockIdx.x * cols.input + ix) * c + channel, sum);
    });
}

#define AXES                                                                                            \
    int h, int oh, int kh, int sh, int ph, int w, int ow, int kw, int sw, int pw, int c, int vector
#define BOTH_AXES Axis{h, oh, kh, sh, ph}, Axis{w, ow, kw, sw, pw}, c, vector

// Taps of windows of at most 256 pixels are bytes.
#define FORWARD_SMALL(T) (const T* __restrict__ x, T* y, u8* taps, AXES)
#define FORWARD_LARGE(T) (const T* __restrict__ x, T* y, u32* taps, AXES)
#define BACKWARD_SMALL(T) (const T* __restrict__ dy, const u8* __restrict__ taps, T* dx, AXES)
#define BACKWARD_LARGE(T) (const T* __restrict__ dy, const u32* __restrict__ taps, T* dx, AXES)
template <class T>
__device__ void max_pool_small(const T* x, T* y, u8* taps, AXES) {
    max_pool_forward(x, y, taps, BOTH_AXES);
}
template <class T>
__device__ void max_pool_large(const T* x, T* y, u32* taps, AXES) {
    max_pool_forward(x, y, taps, BOTH_AXES);
}
template <class T>
__device__ void max_pool_small_backward(const T* dy, const u8* taps, T* dx, AXES) {
    max_pool_backward(dy, taps, dx, BOTH_AXES);
}
template <class T>
__device__ void max_pool_large_backward(const T* dy, const u32* taps, T* dx, AXES) {
    max_pool_backward(dy, taps, dx, BOTH_AXES);
}
#define SIZES h, oh, kh, sh, ph, w, ow, kw, sw, pw, c, vector
BOTH(max_pool_small, FORWARD_SMALL, (x, y, taps, SIZES))
BOTH(max_pool_large, FORWARD_LARGE, (x, y, taps, SIZES))
BOTH(max_pool_small_backward, BACKWARD_SMALL, (dy, taps, dx, SIZES))
BOTH(max_pool_large_backward, BACKWARD_LARGE, (dy, taps, dx, SIZES))

template <class T>
__device__ void avg_pool(const T* x, T* y, int with_padding, AXES) {
    Axis rows = {h, oh, kh, sh, ph}, cols = {w, ow, kw, sw, pw};
    int image = blockIdx.x / oh, oy = blockIdx.x % oh;
    each_in_row<T>(ow, c, vector, [&](auto width, int ox, int channel) {
        const int N = decltype(width)::N;
        int y0, y1, x0, x1;
        rows.inputs(oy, &y0, &y1);
        cols.inputs(ox, &x0, &x1);
        float sum[N] = {};
        for (int iy = y0; iy < y1; iy++)
            for (int ix = x0; ix < x1; ix++) {
                float values[N];
                read<N>(x + (((size_t)image * h + iy) * w + ix) * c + channel, values);
#pragma unroll
                for (int i = 0; i < N; i++) sum[i] += values[i];
            }
        float weight = rows.weight(oy, with_padding) * cols.weight(ox, with_padding);
#pragma unroll
        for (int i = 0; i < N; i++) sum[i] *= weight;
        write<N>(y + ((size_t)blockIdx.x * ow + ox) * c + channel, sum);
    });
}
#define PARAMETERS(T) (const T* __restrict__ x, T* y, int with_padding, AXES)
BOTH(avg_pool, PARAMETERS, (x, y, with_padding, SIZES))
#undef PARAMETERS

template <class T>
__device__ void avg_pool_backward(const T* dy, T* dx, int with_padding, AXES) {
    Axis rows = {h, oh, kh, sh, ph}, cols = {w, ow, kw, sw, pw};
    int image = blockIdx.x / h, iy = blockIdx.x % h;
    each_in_row<T>(w, c, vector, [&](auto width, int ix, int channel) {
        const int N = decltype(width)::N;
        int y0, y1, x0, x1;
        rows.outputs(iy, &y0, &y1);
        cols.outputs(ix, &x0, &x1);
        float sum[N] = {};
        for (int oy = y0; oy < y1; oy++)
            for (int ox = x0; ox < x1; ox++) {
                float weight = rows.weight(oy, with_padding) * cols.weight(ox, with_padding);
                float grads[N];
                read<N>(dy + (((size_t)image * oh + oy) * ow + ox) * c + channel, grads);
#pragma unroll
                for (int i = 0; i < N; i++) sum[i] += weight * grads[i];
            }
        write<N>(dx + ((size_t)blockIdx.x * w + ix) * c + channel, sum);
    });
}
#define PARAMETERS(T) (const T* __restrict__ dy, T* dx, int with_padding, AXES)
BOTH(avg_pool_backward, PARAMETERS, (dy, dx, with_padding, SIZES))
#undef PARAMETERS
