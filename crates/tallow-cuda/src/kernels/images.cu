// Images that lie on the device as bytes: crop with padding, flips, normalisation and erasing, with the CPU's draws and
// the CPU's values.

/// What was drawn for one sample. Rust writes the same layout (`op::images::Draw`).
struct Draw {
    /// The image, and the crop's window, which may extend beyond it.
    u32 image;
    int top, left;
    u32 flip_horizontally, flip_vertically;
    /// The rectangles that are erased, in order.
    u32 first_rectangle, rectangles;
};

struct Rectangle {
    int top, left, height, width;
    float values[3];
};

/// The pixel that is shown at position `at` of a row of `n`; −1 for the fill. 0 constant, 1 edge, 2 reflect, 3 symmetric.
__device__ inline int source_of(int mode, int at, int n) {
    if (at >= 0 && at < n) return at;
    if (mode == 0) return -1;
    if (mode == 1) return min(max(at, 0), n - 1);
    if (mode == 2 && n == 1) return 0;
    int period = mode == 2 ? 2 * (n - 1) : 2 * n;
    int folded = (at % period + period) % period;
    return min(folded, (mode == 2 ? period : period - 1) - folded);
}

/// `table` has the normalised value of every byte, `[c, 256]`; the result is `[n, oh, ow, c]`.
template <class T>
__device__ void prepare_images(const u8* images, const Draw* draws, const Rectangle* rectangles, const float* table,
                               T* y, int h, int w, int c, int oh, int ow, int padding, u32 fill) {
    Draw draw = draws[blockIdx.x];
    int pixel = blockIdx.y * blockDim.x + threadIdx.x;
    if (pixel >= oh * ow) return;
    int oy = pixel / ow, ox = pixel % ow;
    int iy = source_of(padding, draw.top + (draw.flip_vertically ? oh - 1 - oy : oy), h);
    int ix = source_of(padding, draw.left + (draw.flip_horizontally ? ow - 1 - ox : ox), w);
    const Rectangle* erased = 0;
    for (u32 i = 0; i < draw.rectangles; i++) {
        const Rectangle* r = rectangles + draw.first_rectangle + i;
        if (oy >= r->top && oy < r->top + r->height && ox >= r->left && ox < r->left + r->width) erased = r;
    }
    for (int channel = 0; channel < c; channel++) {
        u8 value = iy < 0 || ix < 0 ? (u8)(fill >> 8 * channel)
                                    : images[(((size_t)draw.image * h + iy) * w + ix) * c + channel];
        float normal = erased ? erased->values[channel] : table[channel * 256 + value];
        store(&y[((size_t)blockIdx.x * oh * ow + pixel) * c + channel], normal);
    }
}
#define PARAMETERS(T)                                                                                              \
    (const u8* images, const Draw* draws, const Rectangle* rectangles, const float* table, T* y, int h, int w, int c, \
     int oh, int ow, int padding, u32 fill)
BOTH(prepare_images, PARAMETERS, (images, draws, rectangles, table, y, h, w, c, oh, ow, padding, fill))
#undef PARAMETERS
