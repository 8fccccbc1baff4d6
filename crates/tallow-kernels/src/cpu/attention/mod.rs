//! Multi-head attention: `softmax(scale · q·kᵀ + bias) · v` for every head, and its gradients.
//!
//! One task computes one head of one image, a block of queries at a time, so that the scores stay in the cache. The
//! forward pass keeps two numbers for each query (its largest score and its softmax's denominator), from which the
//! backward pass computes the probabilities again (Dao et al. 2022, "FlashAttention").

use rayon::prelude::*;

use super::memory::{SharedMut, Uninit};

mod head;

use head::{Head, Rows, RowsMut};

pub use head::QuerySoftmax;

/// The sizes of one attention. All are positive.
#[derive(Debug, Clone, Copy)]
pub struct Sizes {
    /// Images of the batch.
    pub images: usize,
    /// Heads of each image.
    pub heads: usize,
    /// Queries of an image.
    pub queries: usize,
    /// Keys of an image, and values.
    pub keys: usize,
    /// Width of a query and of a key in one head.
    pub key_width: usize,
    /// Width of a value in one head.
    pub value_width: usize,
}

/// The queries, keys and values of one attention.
pub enum Factors<'a> {
    /// `q` `[images, queries, heads · key_width]`, `k` `[images, keys, heads · key_width]`, `v`
    /// `[images, keys, heads · value_width]`.
    Apart([&'a [f32]; 3]),
    /// `[images, keys, 3 · heads · width]`, the last dimension ordered (q, k, v), heads, width. There are as many
    /// queries as keys, and both widths are the same.
    Packed(&'a [f32]),
}

/// A bias that is added to the scores.
#[derive(Clone, Copy)]
pub struct Bias<'a> {
    /// `[period, heads, queries, keys]`.
    pub values: &'a [f32],
    /// Image i takes bias i mod `period`, which divides the number of images.
    pub period: usize,
}

/// The arguments of one attention.
pub struct Attention<'a> {
    /// All sizes.
    pub sizes: Sizes,
    /// Factor of the scores.
    pub scale: f32,
    /// Queries, keys and values.
    pub factors: Factors<'a>,
    /// The bias of the scores.
    pub bias: Option<Bias<'a>>,
}

/// The gradients of one attention.
pub struct Gradients {
    /// Those of [`Factors`], in their order: three, or one.
    pub factors: Vec<Vec<f32>>,
    /// That of the bias, if it was asked for.
    pub bias: Option<Vec<f32>>,
}

/// Where one of q, k and v lies.
#[derive(Clone, Copy)]
struct Place {
    /// Which slice.
    source: usize,
    /// The first column of the slice.
    column: usize,
    /// Columns of the slice.
    width: usize,
}

impl Attention<'_> {
    /// The result `[images, queries, heads · value_width]`, and what [`backward`](Self::backward) needs:
    /// `[images, heads, queries]`.
    ///
    /// # Panics
    /// If a slice has another length than the sizes say, or a size is zero.
    pub fn forward(&self) -> (Vec<f32>, Vec<QuerySoftmax>) {
        self.check();
        let Sizes { images, heads, queries, value_width, .. } = self.sizes;
        let mut y = Uninit::new(images * queries * heads * value_width);
        let mut softmaxes = vec![QuerySoftmax::default(); images * heads * queries];
        let out = y.shared();
        softmaxes.par_chunks_mut(queries).enumerate().for_each(|(index, softmaxes)| {
            let (image, head) = (index / heads, index % heads);
            let start = (image * queries * heads + head) * value_width;
            // SAFETY: this head's columns of this image are this task's alone, and lie within the buffer.
            unsafe {
                let out = RowsMut::new(out, start, heads * value_width);
                self.head(image, head).forward(out, softmaxes, self.bias_of(image, head));
            }
        });
        // SAFETY: the heads of all images cover the buffer.
        (unsafe { y.finish() }, softmaxes)
    }

    /// The gradients, from that of the result, `dy`, and what [`forward`](Self::forward) kept. The bias's is computed
    /// if `bias_needed`.
    ///
    /// # Panics
    /// If a slice has another length than the sizes say, or a size is zero.
    pub fn backward(&self, dy: &[f32], softmaxes: &[QuerySoftmax], bias_needed: bool) -> Gradients {
        self.check();
        let Sizes { images, heads, queries, keys, key_width, value_width } = self.sizes;
        assert_eq!(dy.len(), images * queries * heads * value_width, "the gradient's length");
        assert_eq!(softmaxes.len(), images * heads * queries, "one softmax for each query");
        let mut results: Vec<Uninit> = self.slices().iter().map(|slice| Uninit::new(slice.len())).collect();
        let starts: Vec<SharedMut> = results.iter_mut().map(Uninit::shared).collect();
        let one_head = |image: usize, head: usize, bias_grad: Option<&mut [f32]>| {
            let [q, k, v] = self.places();
            let output = |place: Place, rows: usize, width: usize| {
                let start = image * rows * place.width + place.column + head * width;
                // SAFETY: this head's columns of this image are this task's alone, and lie within the buffer.
                unsafe { RowsMut::new(starts[place.source], start, place.width) }
            };
            let out = [output(q, queries, key_width), output(k, keys, key_width), output(v, keys, value_width)];
            let dy = Rows::new(
                &dy[(image * queries * heads + head) * value_width..],
                heads * value_width,
                queries,
                value_width,
            );
            let softmaxes = &softmaxes[(image * heads + head) * queries..][..queries];
            // SAFETY: as above.
            unsafe { self.head(image, head).backward(dy, softmaxes, self.bias_of(image, head), out, bias_grad) };
        };
        let bias = match self.bias {
            Some(Bias { values, period }) if bias_needed => {
                let mut bias_grad = vec![0f32; values.len()];
                // A bias gathers its gradient from every image that it was given to, in their order.
                bias_grad.par_chunks_mut(queries * keys).enumerate().for_each(|(index, bias_grad)| {
                    for image in (index / heads..images).step_by(period) {
                        one_head(image, index % heads, Some(&mut *bias_grad));
                    }
                });
                Some(bias_grad)
            }
            _ => {
                (0..images * heads).into_par_iter().for_each(|index| one_head(index / heads, index % heads, None));
                None
            }
        };
        // SAFETY: the heads of all images cover the buffers.
        let factors = results.into_iter().map(|result| unsafe { result.finish() }).collect();
        Gradients { factors, bias }
    }

    /// Panics where slices and sizes do not fit: the tasks write through pointers.
    fn check(&self) {
        let Sizes { images, heads, queries, keys, key_width, value_width } = self.sizes;
        assert!(images * heads * queries * keys * key_width * value_width > 0, "a size of zero");
        let (q, k, v) = (
            images * queries * heads * key_width,
            images * keys * heads * key_width,
            images * keys * heads * value_width,
        );
        match self.factors {
            Factors::Apart(factors) => assert_eq!(factors.map(<[f32]>::len), [q, k, v], "the lengths of q, k and v"),
            Factors::Packed(qkv) => {
                assert_eq!((queries, key_width), (keys, value_width), "packed factors have equal sizes");
                assert_eq!(qkv.len(), 3 * q, "the length of qkv");
            }
        }
        if let Some(Bias { values, period }) = self.bias {
            assert!(period > 0 && images % period == 0, "a period that divides the images");
            assert_eq!(values.len(), period * heads * queries * keys, "the bias's length");
        }
    }

    fn slices(&self) -> &[&[f32]] {
        match &self.factors {
            Factors::Apart(slices) => slices,
            Factors::Packed(slice) => std::slice::from_ref(slice),
        }
    }

    /// Where q, k and v lie.
    fn places(&self) -> [Place; 3] {
        let (qk, v) = (self.sizes.heads * self.sizes.key_width, self.sizes.heads * self.sizes.value_width);
        match self.factors {
            Factors::Apart(_) => [(0, qk), (1, qk), (2, v)].map(|(source, width)| Place { source, column: 0, width }),
            Factors::Packed(_) => [0, 1, 2].map(|third| Place { source: 0, column: third * qk, width: 3 * qk }),
        }
    }

    fn head(&self, image: usize, head: usize) -> Head<'_> {
        let Sizes { queries, keys, key_width, value_width, .. } = self.sizes;
        let slices = self.slices();
        let [q, k, v] = self.places();
        let factor = |place: Place, rows: usize, width: usize| {
            let start = image * rows * place.width + place.column + head * width;
            Rows::new(&slices[place.source][start..], place.width, rows, width)
        };
        Head {
            q: factor(q, queries, key_width),
            k: factor(k, keys, key_width),
            v: factor(v, keys, value_width),
            scale: self.scale,
        }
    }

    /// The bias of one head of one image: `[queries, keys]`.
    fn bias_of(&self, image: usize, head: usize) -> Option<&[f32]> {
        let Sizes { heads, queries, keys, .. } = self.sizes;
        let len = queries * keys;
        self.bias.map(|Bias { values, period }| &values[((image % period) * heads + head) * len..][..len])
    }
}
