// Depthwise convolution of channels-last images, one filter a channel, and both its gradients. A block has 32 channels
// and 8 pixels at once; filters `[c, kh, kw]` lie in shared memory.

#define MAX_TAPS 121
#define TAPS_AT_ONCE 9

struct Sizes {
    int n, h, w, c, oh, ow, kh, kw, sh, sw, ph, pw, dh, dw;
};

/// The block's filters, `[tap][lane]`, each times its channel's `scale` unless that is null.
__device__ inline void load_filters(const float* filters, const float* scale, int channel, const Sizes& z,
                                    float (*to)[32]) {
    int taps = z.kh * z.kw;
    if (channel < z.c)
        for (int tap = threadIdx.y; tap < taps; tap += blockDim.y)
            to[tap][threadIdx.x] = filters[(size_t)channel * taps + tap] * (scale ? scale[channel] : 1.0f);
    __syncthreads();
}

/// `activation(conv(x) + shift)`; `scale` and `shift` may be null.
template <class T>
__device__ void depthwise_forward(const T* x, const float* filters, const float* scale, const float* shift, T* y,
                                  Sizes z, int pixels_per_slice, int curve) {
    __shared__ float taps[MAX_TAPS][32];
    int channel = blockIdx.x * 32 + threadIdx.x;
    load_filters(filters, scale, channel, z, taps);
    if (channel >= z.c) return;
    float bias = shift ? shift[channel] : 0.0f;
    int end = min(z.n * z.oh * z.ow, (int)(blockIdx.y + 1) * pixels_per_slice);
    with_curve(curve, [&](auto f) {
        for (int pixel = blockIdx.y * pixels_per_slice + threadIdx.y; pixel < end; pixel += blockDim.y) {
            int ox = pixel % z.ow, oy = pixel / z.ow % z.oh, image = pixel / (z.ow * z.oh);
            const T* from = x + (size_t)image * z.h * z.w * z.c + channel;
            float sum = bias;
            for (int ky = 0; ky < z.kh; ky++) {
                int iy = oy * z.sh - z.ph + ky * z.dh;
                if (iy < 0 || iy >= z.h) continue;
                for (int kx = 0; kx < z.kw; kx++) {
                    int ix = ox * z.sw - z.pw + kx * z.dw;
                    if (ix < 0 || ix >= z.w) continue;
                    sum = fmaf(to_f32(from[((size_t)iy * z.w + ix) * z.c]), taps[ky * z.kw + kx][threadIdx.x], sum);
                }
            }
            store(&y[(size_t)pixel * z.c + channel], f.value(sum));
        }
    });
}

/// The gradient of `x`: each pixel gathers from the outputs that read it.
template <class T>
__device__ void depthwise_dx(const T* dy, const float* filters, T* dx, Sizes z, int pixels_per_slice) {
    __shared__ float taps[MAX_TAPS][32];
    int channel = blockIdx.x * 32 + threadIdx.x;
    load_filters(filters, 0, channel, z, taps);
    if (channel >= z.c) return;
    int end = min(z.n * z.h * z.w, (int)(blockIdx.y + 1) * pixels_per_slice);
    for (int pixel = blockIdx.y * pixels_per_slice + threadIdx.y; pixel < end; pixel += blockDim.y) {
        int ix = pixel % z.w, iy = pixel / z.w % z.h, image = pixel / (z.w * z.h);
        const T* from = dy + (size_t)image * z.oh * z.ow * z.c + channel;
        float sum = 0;
        for (int ky = 0; ky < z.kh; ky++) {
            int oy = iy + z.ph - ky * z.dh;
            if (oy < 0 || oy % z.sh != 0 || oy / z.sh >= z.oh) continue;
            for (int kx = 0; kx < z.kw; kx++) {
                int ox = ix + z.pw - kx * z.dw;
                if (ox < 0 || ox % z.sw != 0 || ox / z.sw >= z.ow) continue;
                size_t at = ((size_t)(oy / z.sh) * z.ow + ox / z.sw) * z.c;
                sum = fmaf(to_f32(from[at]), taps[ky * z.kw + kx][threadIdx.x], sum);
            }
        }
        store(&dx[(size_t)pixel * z.c + channel], sum);
    }
}

/// The filters' gradient over one slice of output pixels, `[slices, taps, c]`; a block has the taps from
/// `TAPS_AT_ONCE · blockIdx.z` on.
template <class T>
__device__ void depthwise_dw(const T* x, const T* dy, float* parts, Sizes z, int pixels_per_slice) {
    int channel = blockIdx.x * 32 + threadIdx.x, first = blockIdx.z * TAPS_AT_ONCE, taps = z.kh * z.kw;
    int end = min(z.n * z.oh * z.ow, (int)(blockIdx.y + 1) * pixels_per_slice);
    float sum[TAPS_AT_ONCE] = {};
    if (channel < z.c)
        for (int pixel = blockIdx.y * pixels_per_slice + threadIdx.y; pixel < end; pixel += blockDim.y) {
            int ox = pixel % z.ow, oy = pixel / z.ow % z.oh, image = pixel / (z.ow * z.oh);
            const T* from = x + (size_t)image * z.h * z.w * z.c + channel;
            float grad = to_f32(dy[(size_t)pixel * z.c + channel]);
#pragma unroll
            for (int i = 0; i < TAPS_AT_ONCE; i++) {
                int iy = oy * z.sh - z.ph + (first + i) / z.kw * z.dh;
                int ix = ox * z.sw - z.pw + (first + i) % z.kw * z.dw;
                if (first + i < taps && iy >= 0 && iy < z.h && ix >= 0 && ix < z.w)
                    sum[i] = fmaf(to_f32(from[((size_t)iy * z.w + ix) * z.c]), grad, sum[i]);
            }
        }
#pragma unroll
    for (int i = 0; i < TAPS_AT_ONCE; i++) {
        float total = add_thread_rows(sum[i]);
        if (threadIdx.y == 0 && channel < z.c && first + i < taps)
            parts[((size_t)blockIdx.y * taps + first + i) * z.c + channel] = total;
    }
}

/// The slices' sums, as filters `[c, taps]`.
extern "C" __global__ void __launch_bounds__(256)
    depthwise_dw_finish(const float* parts, int slices, int taps, int c, float* dw) {
    int at = blockIdx.x * 32 + threadIdx.x;
    double total = add_slices(parts, slices, taps * c, at);
    if (at < taps * c && threadIdx.y == 0) dw[(size_t)(at % c) * taps + at / c] = (float)total;
}

#define SIZES                                                                                                   \
    int n, int h, int w, int c, int oh, int ow, int kh, int kw, int sh, int sw, int ph, int pw, int dh, int dw, \
        int pixels_per_slice
#define ALL_SIZES {n, h, w, c, oh, ow, kh, kw, sh, sw, ph, pw, dh, dw}, pixels_per_slice
#define FORWARD(T)                                                                                                \
    (const T* __restrict__ x, const float* __restrict__ filters, const float* scale, const float* shift, T* y, SIZES, \
     int curve)
#define INPUT_GRAD(T) (const T* __restrict__ dy, const float* __restrict__ filters, T* dx, SIZES)
#define WEIGHT_GRAD(T) (const T* __restrict__ x, const T* __restrict__ dy, float* parts, SIZES)
BOTH(depthwise_forward, FORWARD, (x, filters, scale, shift, y, ALL_SIZES, curve))
BOTH(depthwise_dx, INPUT_GRAD, (dy, filters, dx, ALL_SIZES))
BOTH(depthwise_dw, WEIGHT_GRAD, (x, dy, parts, ALL_SIZES))
