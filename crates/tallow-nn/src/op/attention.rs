//! Multi-head attention: `softmax(scale · q·kᵀ + bias) · v` for every head, with all gradients.

use candle_core::Tensor;
use tallow_kernels::cpu::attention::{self, Bias, Factors, QuerySoftmax, Sizes};

use super::on_cpu;
use crate::error::{Error, Result};
use crate::graph::{Op, record};
use crate::macs;
use crate::memory::contiguous;
use crate::tape::{self, Backward, Output, emit};

const OP: &str = "attention";

/// Attends to keys and values by queries that are three tensors.
///
/// # Shapes
/// `q` `[b, nq, heads·dk]`, `k` `[b, nk, heads·dk]`, `v` `[b, nk, heads·dv]`; `bias`, if any,
/// `[heads, nq, nk]` or `[p, heads, nq, nk]` where p divides b: image i takes bias i mod p.
/// The result is `[b, nq, heads·dv]`.
///
/// # Errors
/// Other shapes; a tensor that is not f32.
pub fn attention(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    heads: usize,
    scale: f32,
    bias: Option<&Tensor>,
) -> Result<Tensor> {
    let found = || format!("q {:?}, k {:?}, v {:?}, {heads} heads", q.dims(), k.dims(), v.dims());
    let expected = "q [b, nq, heads·dk], k [b, nk, heads·dk], v [b, nk, heads·dv], nothing empty";
    let (&[b, nq, qw], &[kb, nk, kw], &[vb, vn, vw]) = (q.dims(), k.dims(), v.dims()) else {
        return Err(Error::input(OP, expected, found()));
    };
    let divides = heads > 0 && qw % heads == 0 && vw % heads == 0;
    if !divides || (b, qw) != (kb, kw) || (b, nk) != (vb, vn) || b * nq * nk * qw * vw == 0 {
        return Err(Error::input(OP, expected, found()));
    }
    let sizes = Sizes { images: b, heads, queries: nq, keys: nk, key_width: qw / heads, value_width: vw / heads };
    let sources = Sources::Apart([contiguous(q)?, contiguous(k)?, contiguous(v)?]);
    run(sizes, scale, sources, vec![q, k, v], bias)
}

/// Self-attention over the one projection that gives queries, keys and values: timm's `qkv`.
///
/// # Shapes
/// `qkv` `[b, n, 3·heads·d]`, the last dimension ordered (3, heads, d); `bias` as in [`attention()`]. The result is
/// `[b, n, heads·d]`.
///
/// # Errors
/// Other shapes; a tensor that is not f32.
pub fn attention_qkv(qkv: &Tensor, heads: usize, scale: f32, bias: Option<&Tensor>) -> Result<Tensor> {
    let found = || format!("qkv {:?}, {heads} heads", qkv.dims());
    let expected = "qkv [b, n, 3·heads·d], nothing empty";
    let &[b, n, width] = qkv.dims() else {
        return Err(Error::input(OP, expected, found()));
    };
    if heads == 0 || width % (3 * heads) != 0 || b * n * width == 0 {
        return Err(Error::input(OP, expected, found()));
    }
    let d = width / (3 * heads);
    let sizes = Sizes { images: b, heads, queries: n, keys: n, key_width: d, value_width: d };
    run(sizes, scale, Sources::Packed(contiguous(qkv)?), vec![qkv], bias)
}

/// q, k and v, or the one tensor that holds all three; contiguous.
enum Sources {
    Apart([Tensor; 3]),
    Packed(Tensor),
}

fn run<'a>(
    sizes: Sizes,
    scale: f32,
    sources: Sources,
    mut inputs: Vec<&'a Tensor>,
    bias: Option<&'a Tensor>,
) -> Result<Tensor> {
    let Sizes { images, heads, queries, keys, key_width, value_width } = sizes;
    macs::add(images * heads * queries * keys * (key_width + value_width));
    let bias_values = match bias {
        None => None,
        Some(bias) => {
            let period = match *bias.dims() {
                [h, q, k] if (h, q, k) == (heads, queries, keys) => 1,
                [p, h, q, k] if (h, q, k) == (heads, queries, keys) && p > 0 && images % p == 0 => p,
                _ => {
                    let expected = format!(
                        "a bias [{heads}, {queries}, {keys}] or [p, {heads}, {queries}, {keys}], p dividing {images}"
                    );
                    return Err(Error::input(OP, expected, format!("{:?}", bias.dims())));
                }
            };
            inputs.push(bias);
            Some((contiguous(bias)?, period))
        }
    };
    let op = Attention { sizes, scale, sources, bias: bias_values, softmaxes: Vec::new() };
    let (y, softmaxes) = op.on_cpu(|kernel| kernel.forward())?;
    let output = Output::contiguous(y, &[images, queries, heads * value_width]);
    let packed = matches!(op.sources, Sources::Packed(_));
    let y = if tape::records(&inputs) {
        emit(output, &inputs, Attention { softmaxes, ..op })?
    } else {
        output.into_tensor(inputs[0].device())?
    };
    Ok(record(y, &inputs, || Op::Attention { heads, scale, packed, bias: bias.is_some() }))
}

struct Attention {
    sizes: Sizes,
    scale: f32,
    sources: Sources,
    /// The bias and its period p.
    bias: Option<(Tensor, usize)>,
    /// `[b, heads, nq]`.
    softmaxes: Vec<QuerySoftmax>,
}

impl Attention {
    /// Runs `kernel` on the values of the tensors.
    fn on_cpu<T>(&self, kernel: impl FnOnce(attention::Attention) -> T) -> Result<T> {
        let (sizes, scale) = (self.sizes, self.scale);
        let run = |factors: Factors, bias: Option<Bias>| kernel(attention::Attention { sizes, scale, factors, bias });
        match (&self.sources, &self.bias) {
            (Sources::Packed(qkv), None) => on_cpu(OP, [qkv], |[qkv]| run(Factors::Packed(qkv), None)),
            (Sources::Packed(qkv), &Some((ref bias, period))) => {
                on_cpu(OP, [qkv, bias], |[qkv, values]| run(Factors::Packed(qkv), Some(Bias { values, period })))
            }
            (Sources::Apart([q, k, v]), None) => on_cpu(OP, [q, k, v], |factors| run(Factors::Apart(factors), None)),
            (Sources::Apart([q, k, v]), &Some((ref bias, period))) => {
                on_cpu(OP, [q, k, v, bias], |[q, k, v, values]| {
                    run(Factors::Apart([q, k, v]), Some(Bias { values, period }))
                })
            }
        }
    }
}

impl Backward for Attention {
    fn backward(&self, grad: &Tensor, needs: &[bool]) -> Result<Vec<Option<Tensor>>> {
        let grad = contiguous(grad)?;
        let dy = crate::memory::values(OP, &grad)?;
        let bias_needed = self.bias.is_some() && needs.last() == Some(&true);
        let gradients = self.on_cpu(|kernel| kernel.backward(&dy, &self.softmaxes, bias_needed))?;
        let sources = match &self.sources {
            Sources::Apart(sources) => &sources[..],
            Sources::Packed(source) => std::slice::from_ref(source),
        };
        let tensor = |data: Vec<f32>, like: &Tensor| Output::contiguous(data, like.dims()).into_tensor(grad.device());
        let mut grads = Vec::with_capacity(needs.len());
        for (data, source) in gradients.factors.into_iter().zip(sources) {
            grads.push(Some(tensor(data, source)?));
        }
        if let Some((bias, _)) = &self.bias {
            grads.push(gradients.bias.map(|data| tensor(data, bias)).transpose()?);
        }
        Ok(grads)
    }
}
