//! Sequences of tokens: from and to images, position embeddings, concatenation, selection.

use candle_core::Tensor;
use tallow_kernels::cpu::norm::sums;
use tallow_kernels::cpu::tokens::{self, Part};

use super::{on_cpu, shape};
use crate::error::{Error, Result};
use crate::graph::{Op, record};
use crate::memory::{contiguous, values};
use crate::tape::{Backward, Output, emit, emit_view};

/// Turns the pixels of images into tokens, row by row. A view, since images lie channels-last.
///
/// # Shapes
/// `[n, c, h, w]` → `[n, h · w, c]`.
///
/// # Errors
/// Other shapes.
pub fn tokens(images: &Tensor) -> Result<Tensor> {
    let (n, c, h, w) = images.dims4()?;
    let view = shape::reshape(&shape::permute(images, (0, 2, 3, 1))?, (n, h * w, c))?;
    Ok(emit_view(view, images, ToTokens { h, w }))
}

/// Turns [`tokens()`] back into images, channels-last. A view.
///
/// # Shapes
/// `[n, h · w, c]` → `[n, c, h, w]`.
///
/// # Errors
/// Other shapes; another number of tokens.
pub fn image(tokens: &Tensor, (h, w): (usize, usize)) -> Result<Tensor> {
    Ok(emit_view(as_image(tokens, h, w)?, tokens, ToImages))
}

fn as_image(tokens: &Tensor, h: usize, w: usize) -> Result<Tensor> {
    let (n, _, c) = tokens.dims3()?;
    shape::permute(&shape::reshape(tokens, (n, h, w, c))?, (0, 3, 1, 2))
}

struct ToTokens {
    h: usize,
    w: usize,
}

impl Backward for ToTokens {
    fn backward(&self, grad: &Tensor, _needs: &[bool]) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![Some(as_image(grad, self.h, self.w)?)])
    }
}

struct ToImages;

impl Backward for ToImages {
    fn backward(&self, grad: &Tensor, _needs: &[bool]) -> Result<Vec<Option<Tensor>>> {
        let (n, c, h, w) = grad.dims4()?;
        Ok(vec![Some(grad.permute((0, 2, 3, 1))?.reshape((n, h * w, c))?)])
    }
}

/// Adds the same `positions` to the tokens of each image: a Transformer's position embedding.
///
/// # Shapes
/// `x` `[n, l, c]`, `positions` `[1, l, c]` → `[n, l, c]`.
///
/// # Errors
/// Other shapes; a tensor that is not f32.
///
/// # Source
/// Dosovitskiy et al. 2020, "An Image is Worth 16x16 Words".
pub fn add_positions(x: &Tensor, positions: &Tensor) -> Result<Tensor> {
    const OP: &str = "add_positions";
    let (n, l, c) = sequences(OP, x)?;
    if positions.dims() != [1, l, c] {
        let expected = format!("positions [1, {l}, {c}]");
        return Err(Error::input(OP, expected, format!("{:?}", positions.dims())));
    }
    let data = on_cpu(OP, [&contiguous(x)?, &contiguous(positions)?], |[x, added]| tokens::add_to_each(x, added))?;
    let y = emit(Output::contiguous(data, &[n, l, c]), &[x, positions], AddPositions)?;
    Ok(record(y, &[x, positions], || Op::Add))
}

struct AddPositions;

impl Backward for AddPositions {
    fn backward(&self, grad: &Tensor, needs: &[bool]) -> Result<Vec<Option<Tensor>>> {
        let positions = needs[1].then(|| sum_over_images(&contiguous(grad)?)).transpose()?;
        Ok(vec![needs[0].then(|| grad.clone()), positions])
    }
}

/// `[n, l, c]` → `[1, l, c]`.
fn sum_over_images(grad: &Tensor) -> Result<Tensor> {
    let (_, l, c) = grad.dims3()?;
    let sum = on_cpu("tokens", [grad], |[dy]| sums(dy, (l * c).max(1)))?;
    Output::contiguous(sum, &[1, l, c]).into_tensor(grad.device())
}

/// Concatenates the tokens of several sequences for each image. A sequence of one image goes to every image: class and
/// distillation tokens.
///
/// # Shapes
/// `[n or 1, l, c]` each → `[n, Σ l, c]`.
///
/// # Errors
/// No sequences; other widths or numbers of images; a tensor that is not f32.
pub fn concat_tokens(parts: &[&Tensor]) -> Result<Tensor> {
    const OP: &str = "concat_tokens";
    let shapes = parts.iter().map(|part| sequences(OP, part)).collect::<Result<Vec<_>>>()?;
    let n = shapes.iter().map(|(n, ..)| *n).max().unwrap_or(0);
    let c = shapes.first().map_or(0, |(.., c)| *c);
    if n == 0 || c == 0 || shapes.iter().any(|(images, _, width)| *width != c || (*images != n && *images != 1)) {
        let found = format!("{:?}", parts.iter().map(|part| part.dims()).collect::<Vec<_>>());
        return Err(Error::input(OP, "sequences [n or 1, l, c] of one width", found));
    }
    let op = ConcatTokens { n, parts: shapes.iter().map(|(images, l, _)| (*images, *l)).collect() };
    let memory = parts.iter().map(|part| contiguous(part)).collect::<Result<Vec<_>>>()?;
    let guards = memory.iter().map(|part| values(OP, part)).collect::<Result<Vec<_>>>()?;
    let pieces: Vec<Part> = guards
        .iter()
        .zip(&op.parts)
        .map(|(values, (images, l))| Part { values, len: l * c, shared: *images == 1 })
        .collect();
    let data = on_cpu(OP, [], |[]| tokens::concat(n, &pieces))?;
    Ok(record(emit(Output::contiguous(data, &[n, op.len(), c]), parts, op)?, parts, || Op::Concat(1)))
}

struct ConcatTokens {
    n: usize,
    /// Images and tokens of each sequence.
    parts: Vec<(usize, usize)>,
}

impl ConcatTokens {
    /// Tokens of an image.
    fn len(&self) -> usize {
        self.parts.iter().map(|(_, l)| l).sum()
    }
}

impl Backward for ConcatTokens {
    fn backward(&self, grad: &Tensor, needs: &[bool]) -> Result<Vec<Option<Tensor>>> {
        let mut start = 0;
        let slices = self.parts.iter().zip(needs).map(|((images, l), needed)| {
            let from = start;
            start += l;
            needed.then(|| {
                let own = token_range(grad, from, *l)?;
                if *images == self.n { Ok(own) } else { sum_over_images(&own) }
            })
        });
        slices.map(Option::transpose).collect()
    }
}

/// Tokens `from..from + l` of each image, `[n, l, c]`.
fn token_range(x: &Tensor, from: usize, l: usize) -> Result<Tensor> {
    let (n, all, c) = x.dims3()?;
    let data = on_cpu("tokens", [&contiguous(x)?], |[x]| tokens::narrow(x, all * c, from * c, l * c))?;
    Output::contiguous(data, &[n, l, c]).into_tensor(x.device())
}

/// Selects one token of each image: the class token.
///
/// # Shapes
/// `x` `[n, l, c]`, `index` below `l` → `[n, c]`.
///
/// # Errors
/// Other shapes; a tensor that is not f32.
pub fn select_token(x: &Tensor, index: usize) -> Result<Tensor> {
    const OP: &str = "select_token";
    let (n, l, c) = sequences(OP, x)?;
    if index >= l {
        return Err(Error::input(OP, format!("an index below {l}"), index.to_string()));
    }
    let token = record(token_range(x, index, 1)?, &[x], || Op::Narrow { dim: 1, start: index, len: 1 });
    let data = values(OP, &token)?.to_vec();
    Ok(record(emit(Output::contiguous(data, &[n, c]), &[x], SelectToken { index, l })?, &[&token], || Op::Reshape))
}

struct SelectToken {
    index: usize,
    l: usize,
}

impl Backward for SelectToken {
    fn backward(&self, grad: &Tensor, _needs: &[bool]) -> Result<Vec<Option<Tensor>>> {
        let (n, c) = grad.dims2()?;
        let (index, l) = (self.index, self.l);
        let dx = on_cpu("select_token", [&contiguous(grad)?], |[dy]| tokens::narrow_backward(dy, l * c, index * c, c))?;
        Ok(vec![Some(Output::contiguous(dx, &[n, l, c]).into_tensor(grad.device())?)])
    }
}

fn sequences(op: &'static str, x: &Tensor) -> Result<(usize, usize, usize)> {
    match *x.dims() {
        [n, l, c] => Ok((n, l, c)),
        ref dims => Err(Error::input(op, "tokens [n, l, c]", format!("{dims:?}"))),
    }
}
