// The activation functions and their derivatives, in the formulas of the CPU kernels; NaN stays NaN.

/// Φ(x) and φ(x) of the normal distribution. Φ(−a) = e^(−a²/2) · R(1 / (1 + 0.275 a)), R a minimax polynomial.
__device__ inline void normal(float x, float* below, float* density) {
    float a = fabsf(x);
    float u = 1.0f / fmaf(0.275f, a, 1.0f);
    float r = 0.026249513f;
    r = fmaf(r, u, -0.10602134f);
    r = fmaf(r, u, 0.12018395f);
    r = fmaf(r, u, -0.023345766f);
    r = fmaf(r, u, 0.07960358f);
    r = fmaf(r, u, 0.08260171f);
    r = fmaf(r, u, 0.101236150f);
    r = fmaf(r, u, 0.10978946f);
    r = fmaf(r, u, 0.10970274f);
    float bell = expf(-0.5f * a * a);
    float tail = bell * (r * u);
    *below = x < 0.0f ? tail : 1.0f - tail;
    *density = bell * 0.3989423f;
}

/// σ(x) and its slope, without cancellation in either tail.
__device__ inline void logistic(float x, float* sigma, float* slope) {
    float e = expf(-fabsf(x));
    float above = 1.0f / (1.0f + e);
    *sigma = x < 0.0f ? e * above : above;
    *slope = e * above * above;
}

__device__ inline float clamp6(float x) {
    x = x < 0.0f ? 0.0f : x;
    return x > 6.0f ? 6.0f : x;
}

struct Identity {
    static __device__ inline float value(float x) { return x; }
    static __device__ inline float gradient(float, float dy) { return dy; }
};

struct Relu {
    static __device__ inline float value(float x) { return x < 0.0f ? 0.0f : x; }
    static __device__ inline float gradient(float x, float dy) { return x <= 0.0f ? 0.0f : dy; }
};

struct Relu6 {
    static __device__ inline float value(float x) { return clamp6(x); }
    static __device__ inline float gradient(float x, float dy) { return x <= 0.0f || x >= 6.0f ? 0.0f : dy; }
};

struct Gelu {
    static __device__ inline float value(float x) {
        float phi, density;
        normal(x, &phi, &density);
        return x * phi;
    }
    static __device__ inline float gradient(float x, float dy) {
        float phi, density;
        normal(x, &phi, &density);
        return dy * (phi + x * density);
    }
};

/// By tanh: (1 + tanh u) / 2 = σ(2u), u = √(2/π) (x + 0.044715 x³).
struct GeluTanh {
    static __device__ inline float twice(float x) { return 1.595769f * (x + 0.044715f * x * x * x); }
    static __device__ inline float value(float x) {
        float sigma, slope;
        logistic(twice(x), &sigma, &slope);
        return x * sigma;
    }
    static __device__ inline float gradient(float x, float dy) {
        float sigma, slope;
        logistic(twice(x), &sigma, &slope);
        return dy * (sigma + x * slope * (1.595769f * (1.0f + 3.0f * 0.044715f * x * x)));
    }
};

struct Silu {
    static __device__ inline float value(float x) {
        float sigma, slope;
        logistic(x, &sigma, &slope);
        return x * sigma;
    }
    static __device__ inline float gradient(float x, float dy) {
        float sigma, slope;
        logistic(x, &sigma, &slope);
        return dy * (sigma + x * slope);
    }
};

struct Hardswish {
    static __device__ inline float value(float x) { return x * clamp6(x + 3.0f) * (1.0f / 6.0f); }
    static __device__ inline float gradient(float x, float dy) {
        float slope = x * (1.0f / 3.0f) + 0.5f;
        slope = x <= -3.0f ? 0.0f : slope;
        return dy * (x >= 3.0f ? 1.0f : slope);
    }
};

struct Hardsigmoid {
    static __device__ inline float value(float x) { return clamp6(x + 3.0f) * (1.0f / 6.0f); }
    static __device__ inline float gradient(float x, float dy) {
        return x <= -3.0f || x >= 3.0f ? 0.0f : dy * (1.0f / 6.0f);
    }
};

struct Sigmoid {
    static __device__ inline float value(float x) {
        float sigma, slope;
        logistic(x, &sigma, &slope);
        return sigma;
    }
    static __device__ inline float gradient(float x, float dy) {
        float sigma, slope;
        logistic(x, &sigma, &slope);
        return dy * slope;
    }
};

/// Any of the functions, chosen value by value: the branch is the same in all threads, and memory is what they wait for.
struct AnyCurve {
    int curve;

    __device__ inline float value(float x) const {
        switch (curve) {
            case 0: return Identity::value(x);
            case 1: return Relu::value(x);
            case 2: return Relu6::value(x);
            case 3: return Gelu::value(x);
            case 4: return GeluTanh::value(x);
            case 5: return Silu::value(x);
            case 6: return Hardswish::value(x);
            case 7: return Hardsigmoid::value(x);
            default: return Sigmoid::value(x);
        }
    }
    __device__ inline float gradient(float x, float dy) const {
        switch (curve) {
            case 0: return Identity::gradient(x, dy);
            case 1: return Relu::gradient(x, dy);
            case 2: return Relu6::gradient(x, dy);
            case 3: return Gelu::gradient(x, dy);
            case 4: return GeluTanh::gradient(x, dy);
            case 5: return Silu::gradient(x, dy);
            case 6: return Hardswish::gradient(x, dy);
            case 7: return Hardsigmoid::gradient(x, dy);
            default: return Sigmoid::gradient(x, dy);
        }
    }
};

/// Calls `body(function)` with the function of this number: the order of the Rust enum `Activation`. The most frequent
/// two have code of their own; all nine would take a minute to compile.
template <class F>
__device__ inline void with_curve(int curve, F body) {
    if (curve == 0)
        body(Identity());
    else if (curve == 1)
        body(Relu());
    else
        body(AnyCurve{curve});
}

/// `with_curve` and `with_width` at once: `body(function, width)`. Values that lie one by one are rare, and have one body.
template <class T, class F>
__device__ inline void with_curve_and_width(int curve, int vector, F body) {
    if (vector)
        with_curve(curve, [&](auto f) { body(f, Width<Wide<T>::N>()); });
    else
        body(AnyCurve{curve}, Width<1>());
}
