// Activations, sums of two arrays with an activation, and conversion between storage types.

template <class T>
__device__ void activation_forward(const T* x, T* y, u64 n, int vector, int curve) {
    with_curve(curve, [&](auto f) {
        flat<T>(n, vector, [&](auto width, size_t at) {
            const int N = decltype(width)::N;
            float values[N];
            read<N>(x + at, values);
#pragma unroll
            for (int i = 0; i < N; i++) values[i] = f.value(values[i]);
            write<N>(y + at, values);
        });
    });
}
#define PARAMETERS(T) (const T* x, T* y, u64 n, int vector, int curve)
BOTH(activation_forward, PARAMETERS, (x, y, n, vector, curve))
#undef PARAMETERS

template <class T>
__device__ void activation_backward(const T* x, const T* dy, T* dx, u64 n, int vector, int curve) {
    with_curve(curve, [&](auto f) {
        flat<T>(n, vector, [&](auto width, size_t at) {
            const int N = decltype(width)::N;
            float values[N], grads[N];
            read<N>(x + at, values);
            read<N>(dy + at, grads);
#pragma unroll
            for (int i = 0; i < N; i++) values[i] = f.gradient(values[i], grads[i]);
            write<N>(dx + at, values);
        });
    });
}
#define PARAMETERS(T) (const T* x, const T* dy, T* dx, u64 n, int vector, int curve)
BOTH(activation_backward, PARAMETERS, (x, dy, dx, n, vector, curve))
#undef PARAMETERS

/// `activation(a + b)`.
template <class T>
__device__ void add_activate(const T* a, const T* b, T* y, u64 n, int vector, int curve) {
    with_curve(curve, [&](auto f) {
        flat<T>(n, vector, [&](auto width, size_t at) {
            const int N = decltype(width)::N;
            float left[N], right[N];
            read<N>(a + at, left);
            read<N>(b + at, right);
#pragma unroll
            for (int i = 0; i < N; i++) left[i] = f.value(left[i] + right[i]);
            write<N>(y + at, left);
        });
    });
}
#define PARAMETERS(T) (const T* a, const T* b, T* y, u64 n, int vector, int curve)
BOTH(add_activate, PARAMETERS, (a, b, y, n, vector, curve))
#undef PARAMETERS

/// The gradient of both inputs of `max(a + b, 0)`: `dy` where the result `y` is positive.
template <class T>
__device__ void relu_mask(const T* y, const T* dy, T* dx, u64 n, int vector) {
    flat<T>(n, vector, [&](auto width, size_t at) {
        const int N = decltype(width)::N;
        float result[N], grads[N];
        read<N>(y + at, result);
        read<N>(dy + at, grads);
#pragma unroll
        for (int i = 0; i < N; i++) grads[i] = result[i] > 0.0f ? grads[i] : 0.0f;
        write<N>(dx + at, grads);
    });
}
#define PARAMETERS(T) (const T* y, const T* dy, T* dx, u64 n, int vector)
BOTH(relu_mask, PARAMETERS, (y, dy, dx, n, vector))
#undef PARAMETERS

extern "C" __global__ void __launch_bounds__(256) to_bf16(const float* x, bf16* y, u64 n, int vector) {
    flat<bf16>(n, vector, [&](auto width, size_t at) {
        const int N = decltype(width)::N;
        float values[N];
        read<N>(x + at, values);
        write<N>(y + at, values);
    });
}

extern "C" __global__ void __launch_bounds__(256) from_bf16(const bf16* x, float* y, u64 n, int vector) {
    flat<bf16>(n, vector, [&](auto width, size_t at) {
        const int N = decltype(width)::N;
        float values[N];
        read<N>(x + at, values);
        write<N>(y + at, values);
    });
}
