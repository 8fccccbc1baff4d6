// Softmax over rows and its gradient, and the cross-entropy with its gradient in one pass; a row a warp.

/// The row of this warp, and this lane's place in it.
__device__ inline size_t warp_row() { return global_thread() / 32; }
__device__ inline int lane() { return threadIdx.x % 32; }

/// The largest of the `k` values of a row.
template <class T>
__device__ inline float row_max(const T* x, int k) {
    float top = -INFINITY_F32;
    for (int i = lane(); i < k; i += 32) top = fmaxf(top, to_f32(x[i]));
    return warp_max(top);
}

template <class T>
__device__ void softmax_forward(const T* x, T* y, int rows, int k) {
    size_t row = warp_row();
    if (row >= (size_t)rows) return;
    x += row * k;
    y += row * k;
    float top = row_max(x, k), sum = 0;
    for (int i = lane(); i < k; i += 32) sum += expf(to_f32(x[i]) - top);
    float scale = 1.0f / warp_sum(sum);
    for (int i = lane(); i < k; i += 32) store(&y[i], expf(to_f32(x[i]) - top) * scale);
}
#define PARAMETERS(T) (const T* x, T* y, int rows, int k)
BOTH(softmax_forward, PARAMETERS, (x, y, rows, k))
#undef PARAMETERS

/// `y · (dy − Σ dy·y)`.
template <class T>
__device__ void softmax_backward(const T* y, const T* dy, T* dx, int rows, int k) {
    size_t row = warp_row();
    if (row >= (size_t)rows) return;
    y += row * k;
    dy += row * k;
    dx += row * k;
    float dot = 0;
    for (int i = lane(); i < k; i += 32) dot += to_f32(dy[i]) * to_f32(y[i]);
    dot = warp_sum(dot);
    for (int i = lane(); i < k; i += 32) store(&dx[i], to_f32(y[i]) * (to_f32(dy[i]) - dot));
}
#define PARAMETERS(T) (const T* y, const T* dy, T* dx, int rows, int k)
BOTH(softmax_backward, PARAMETERS, (y, dy, dx, rows, k))
#undef PARAMETERS

/// The target of class `i`: the row's distribution (or one at its label), smoothed, times the class's weight and the
/// sample's.
struct Target {
    const float* soft;
    int label;
    float keep, rest;
    bool smooth;
    const float* class_weights;
    float sample;

    __device__ float at(int i) const {
        float target = soft ? soft[i] : i == label ? 1.0f : 0.0f;
        if (smooth) target = __fadd_rn(__fmul_rn(target, keep), rest);
        if (class_weights) target = __fmul_rn(target, __fmul_rn(sample, class_weights[i]));
        else target = __fmul_rn(target, sample);
        return target;
    }
};

/// For each row: the loss `−Σ target · ln softmax(z)`, the gradient of the logits times `scale` (unless null), and
/// whether the largest logit is the label's. A label that is no class gives NaN. `labels` or `soft` may be null; so may `sample_scales` and `class_weights`.
template <class T>
__device__ void cross_entropy(const T* z, const u32* labels, const float* soft, const float* sample_scales,
                              const float* class_weights, float smoothing, float scale, double* losses, u32* correct,
                              T* dz, int rows, int k) {
    size_t row = warp_row();
    if (row >= (size_t)rows) return;
    z += row * k;
    Target target = {soft ? soft + row * k : 0,
                     labels ? (int)labels[row] : -1,
                     1.0f - smoothing,
                     smoothing / k,
                     smoothing > 0.0f,
                     class_weights,
                     sample_scales ? sample_scales[row] : 1.0f};
    float top = row_max(z, k);
    double sum = 0;
    for (int i = lane(); i < k; i += 32) sum += expf(to_f32(z[i]) - top);
    sum = warp_sum(sum);
    double log_sum = top + log(sum);
    // Where the target is zero, a logit of −∞ costs nothing.
    double loss = 0;
    float total = 0;
    for (int i = lane(); i < k; i += 32) {
        float t = target.at(i);
        total += t;
        if (t != 0.0f) loss += (double)t * (log_sum - to_f32(z[i]));
    }
    total = warp_sum(total);
    loss = warp_sum(loss);
    if (dz) {
        float share = (float)(1.0 / sum);
        dz += row * k;
        for (int i = lane(); i < k; i += 32)
            store(&dz[i], scale * (expf(to_f32(z[i]) - top) * share * total - target.at(i)));
    }
    // The first of equal logits counts, as argmax has it.
    int first = k;
    for (int i = lane(); i < k; i += 32)
        if (to_f32(z[i]) == top) first = min(first, i);
#pragma unroll
    for (int step = 16; step; step >>= 1) first = min(first, __shfl_xor_sync(ALL_LANES, first, step));
    if (lane() == 0) {
        losses[row] = labels && !soft && labels[row] >= (u32)k ? NAN_F32 : loss;
        if (correct) correct[row] = first == target.label;
    }
}
#define PARAMETERS(T)                                                                                              \
    (const T* z, const u32* labels, const float* soft, const float* sample_scales, const float* class_weights,    \
     float smoothing, float scale, double* losses, u32* correct, T* dz, int rows, int k)
BOTH(cross_entropy, PARAMETERS,
     (z, labels, soft, sample_scales, class_weights, smoothing, scale, losses, correct, dz, rows, k))
#undef PARAMETERS

/// The gradient of soft targets: `−ln softmax(z) · scale`.
template <class T>
__device__ void target_grad(const T* z, float* dt, float scale, int rows, int k) {
    size_t row = warp_row();
    if (row >= (size_t)rows) return;
    z += row * k;
    float top = row_max(z, k);
    double sum = 0;
    for (int i = lane(); i < k; i += 32) sum += expf(to_f32(z[i]) - top);
    double log_sum = top + log(warp_sum(sum));
    for (int i = lane(); i < k; i += 32) dt[row * k + i] = scale * (float)(log_sum - to_f32(z[i]));
}
#define PARAMETERS(T) (const T* z, float* dt, float scale, int rows, int k)
BOTH(target_grad, PARAMETERS, (z, dt, scale, rows, k))
#undef PARAMETERS

/// The factor of each sample so that the weighted losses' mean is that of PyTorch: its weight over the mean of all
/// weights, a class's weight counting where there are `labels`. One block.
extern "C" __global__ void __launch_bounds__(256)
    sample_scales(const u32* labels, const float* weights, const float* class_weights, float* scales, int n, int k) {
    double total = 0;
    for (int i = threadIdx.x; i < n; i += blockDim.x) {
        // A label that is no class makes the scales NaN, and with them the loss.
        float by_label = !class_weights || !labels ? 1.0f : labels[i] < (u32)k ? class_weights[labels[i]] : NAN_F32;
        total += __fmul_rn(weights ? weights[i] : 1.0f, by_label);
    }
    float mean = fmaxf((float)(block_sum(total) / n), 1.17549435e-38f);
    for (int i = threadIdx.x; i < n; i += blockDim.x) scales[i] = (weights ? weights[i] : 1.0f) / mean;
}

/// What a step tells the host, read some steps later: the mean loss, the number of right samples, and how many losses
/// are finite. One block.
struct Summary {
    float loss;
    u32 correct, finite;
};

extern "C" __global__ void __launch_bounds__(256)
    summarise(const double* losses, const u32* correct, Summary* summary, int n) {
    double total = 0, right = 0, finite = 0;
    for (int i = threadIdx.x; i < n; i += blockDim.x) {
        total += losses[i];
        right += correct ? correct[i] : 0;
        finite += fabs(losses[i]) <= 1.7976931348623157e308;
    }
    total = block_sum(total);
    right = block_sum(right);
    finite = block_sum(finite);
    if (threadIdx.x == 0) *summary = {(float)(total / n), (u32)right, (u32)finite};
}
