//! Sequences of tokens: where they lie, what stands before them, which one answers.

use candle_core::Tensor;
use rayon::prelude::*;

use super::elementwise::CHUNK;
use super::memory::{Uninit, contiguous, values};
use super::norm::sums;
use crate::error::{Error, Result};
use crate::graph::{Op, record};
use crate::ops;
use crate::tape::{Backward, Output, emit, emit_view};

/// The pixels of images as tokens, row by row: a view, since images lie channels-last.
///
/// # Shapes
/// `[n, c, h, w]` → `[n, h · w, c]`.
///
/// # Errors
/// Other shapes.
pub fn tokens(images: &Tensor) -> Result<Tensor> {
    let (n, c, h, w) = images.dims4()?;
    let view = ops::reshape(&ops::permute(images, (0, 2, 3, 1))?, (n, h * w, c))?;
    Ok(emit_view(view, images, Tokens { h, w }))
}

/// [`tokens`] back as images, channels-last: a view.
///
/// # Shapes
/// `[n, h · w, c]` → `[n, c, h, w]`.
///
/// # Errors
/// Other shapes; another number of tokens.
pub fn image(tokens: &Tensor, (h, w): (usize, usize)) -> Result<Tensor> {
    Ok(emit_view(as_image(tokens, h, w)?, tokens, Images))
}

fn as_image(tokens: &Tensor, h: usize, w: usize) -> Result<Tensor> {
    let (n, _, c) = tokens.dims3()?;
    ops::permute(&ops::reshape(tokens, (n, h, w, c))?, (0, 3, 1, 2))
}

struct Tokens {
    h: usize,
    w: usize,
}

impl Backward for Tokens {
    fn backward(&self, grad: &Tensor, _needs: &[bool]) -> Result<Vec<Option<Tensor>>> {
        Ok(vec![Some(as_image(grad, self.h, self.w)?)])
    }
}

struct Images;

impl Backward for Images {
    fn backward(&self, grad: &Tensor, _needs: &[bool]) -> Result<Vec<Option<Tensor>>> {
        let (n, c, h, w) = grad.dims4()?;
        Ok(vec![Some(grad.permute((0, 2, 3, 1))?.reshape((n, h * w, c))?)])
    }
}

/// `x` plus the same `positions` for each image: a Transformer's position embedding.
///
/// # Shapes
/// `x` `[n, l, c]`, `positions` `[1, l, c]` → `[n, l, c]`.
///
/// # Errors
/// Other shapes; a tensor that is not f32 on the CPU.
///
/// # Source
/// Dosovitskiy et al. 2020, "An Image is Worth 16x16 Words".
pub fn add_positions(x: &Tensor, positions: &Tensor) -> Result<Tensor> {
    let (n, l, c) = sequences("add_positions", x)?;
    if positions.dims() != [1, l, c] {
        return Err(Error::input(
            "add_positions",
            format!("positions [1, {l}, {c}]"),
            format!("{:?}", positions.dims()),
        ));
    }
    let (input, added) = (contiguous(x)?, contiguous(positions)?);
    let data = {
        let (x, added) = (values("add_positions", &input)?, values("add_positions", &added)?);
        let mut data = Uninit::new(x.len());
        // SAFETY: each image is written in full.
        let out = unsafe { data.as_mut_slice() };
        let image = (l * c).max(1);
        out.par_chunks_mut(image).zip(x.par_chunks(image)).for_each(|(y, x)| {
            for ((y, x), added) in y.iter_mut().zip(x).zip(added.iter()) {
                *y = x + added;
            }
        });
        // SAFETY: written above.
        unsafe { data.finish() }
    };
    let y = emit(Output::contiguous(data, &[n, l, c]), &[x, positions], Positions)?;
    Ok(record(y, &[x, positions], || Op::Add))
}

struct Positions;

impl Backward for Positions {
    fn backward(&self, grad: &Tensor, needs: &[bool]) -> Result<Vec<Option<Tensor>>> {
        let positions = needs[1].then(|| sum_over_images(&contiguous(grad)?)).transpose()?;
        Ok(vec![needs[0].then(|| grad.clone()), positions])
    }
}

/// `[n, l, c]` → `[1, l, c]`.
fn sum_over_images(grad: &Tensor) -> Result<Tensor> {
    let (_, l, c) = grad.dims3()?;
    let sum = sums(&values("tokens", grad)?, (l * c).max(1));
    Output::contiguous(sum, &[1, l, c]).into_tensor()
}

/// Each image's tokens of several sequences, one behind the other. A sequence of one image goes to every image: class and
/// distillation tokens.
///
/// # Shapes
/// `[n or 1, l, c]` each → `[n, Σ l, c]`.
///
/// # Errors
/// None; other widths or numbers of images; a tensor that is not f32 on the CPU.
pub fn concat_tokens(parts: &[&Tensor]) -> Result<Tensor> {
    let shapes = parts.iter().map(|part| sequences("concat_tokens", part)).collect::<Result<Vec<_>>>()?;
    let n = shapes.iter().map(|(n, ..)| *n).max().unwrap_or(0);
    let c = shapes.first().map_or(0, |(.., c)| *c);
    if n == 0 || c == 0 || shapes.iter().any(|(images, _, width)| *width != c || (*images != n && *images != 1)) {
        let found = format!("{:?}", parts.iter().map(|part| part.dims()).collect::<Vec<_>>());
        return Err(Error::input("concat_tokens", "sequences [n or 1, l, c] of one width", found));
    }
    let op = Concat { n, parts: shapes.iter().map(|(images, l, _)| (*images, *l)).collect() };
    let memory = parts.iter().map(|part| contiguous(part)).collect::<Result<Vec<_>>>()?;
    let image = op.len() * c;
    let data = {
        let guards = memory.iter().map(|part| values("concat_tokens", part)).collect::<Result<Vec<_>>>()?;
        let slices: Vec<&[f32]> = guards.iter().map(|guard| &**guard).collect();
        let mut data = Uninit::new(n * image);
        // SAFETY: the parts of an image are as long as the image.
        let out = unsafe { data.as_mut_slice() };
        out.par_chunks_mut(image.max(1)).enumerate().for_each(|(at, mut image)| {
            for (part, (images, l)) in slices.iter().zip(&op.parts) {
                let from = if *images == 1 { 0 } else { at * l * c };
                let (to, rest) = image.split_at_mut(l * c);
                to.copy_from_slice(&part[from..from + l * c]);
                image = rest;
            }
        });
        // SAFETY: written above.
        unsafe { data.finish() }
    };
    Ok(record(emit(Output::contiguous(data, &[n, op.len(), c]), parts, op)?, parts, || Op::Concat(1)))
}

struct Concat {
    n: usize,
    /// Images and tokens of each sequence.
    parts: Vec<(usize, usize)>,
}

impl Concat {
    /// Tokens of an image.
    fn len(&self) -> usize {
        self.parts.iter().map(|(_, l)| l).sum()
    }
}

impl Backward for Concat {
    fn backward(&self, grad: &Tensor, needs: &[bool]) -> Result<Vec<Option<Tensor>>> {
        let mut start = 0;
        let slices = self.parts.iter().zip(needs).map(|((images, l), needed)| {
            let from = start;
            start += l;
            needed.then(|| {
                let own = rows(grad, from, *l)?;
                if *images == self.n { Ok(own) } else { sum_over_images(&own) }
            })
        });
        slices.map(Option::transpose).collect()
    }
}

/// Tokens `from..from + l` of each image, `[n, l, c]`.
fn rows(x: &Tensor, from: usize, l: usize) -> Result<Tensor> {
    let (n, all, c) = x.dims3()?;
    let x = contiguous(x)?;
    let x = values("tokens", &x)?;
    let mut data = Uninit::new(n * l * c);
    // SAFETY: each image is written in full.
    let out = unsafe { data.as_mut_slice() };
    let images = out.par_chunks_mut((l * c).max(1)).zip(x.par_chunks((all * c).max(1)));
    images
        .with_min_len(CHUNK.div_ceil((l * c).max(1)))
        .for_each(|(y, x)| y.copy_from_slice(&x[from * c..(from + l) * c]));
    // SAFETY: written above.
    Output::contiguous(unsafe { data.finish() }, &[n, l, c]).into_tensor()
}

/// One token of each image, which answers for it: the class token.
///
/// # Shapes
/// `x` `[n, l, c]`, `index` below `l` → `[n, c]`.
///
/// # Errors
/// Other shapes; a tensor that is not f32 on the CPU.
pub fn select_token(x: &Tensor, index: usize) -> Result<Tensor> {
    let (n, l, c) = sequences("select_token", x)?;
    if index >= l {
        return Err(Error::input("select_token", format!("an index below {l}"), index.to_string()));
    }
    let token = record(rows(x, index, 1)?, &[x], || Op::Narrow { dim: 1, start: index, len: 1 });
    let data = values("select_token", &token)?.to_vec();
    Ok(record(emit(Output::contiguous(data, &[n, c]), &[x], Select { index, l })?, &[&token], || Op::Reshape))
}

struct Select {
    index: usize,
    l: usize,
}

impl Backward for Select {
    fn backward(&self, grad: &Tensor, _needs: &[bool]) -> Result<Vec<Option<Tensor>>> {
        let (n, c) = grad.dims2()?;
        let grad = contiguous(grad)?;
        let dy = values("select_token", &grad)?;
        let mut data = Uninit::new(n * self.l * c);
        // SAFETY: each image is written in full.
        let out = unsafe { data.as_mut_slice() };
        out.par_chunks_mut((self.l * c).max(1)).zip(dy.par_chunks(c.max(1))).for_each(|(image, dy)| {
            image.fill(0.0);
            image[self.index * c..(self.index + 1) * c].copy_from_slice(dy);
        });
        // SAFETY: written above.
        Ok(vec![Some(Output::contiguous(unsafe { data.finish() }, &[n, self.l, c]).into_tensor()?)])
    }
}

fn sequences(op: &'static str, x: &Tensor) -> Result<(usize, usize, usize)> {
    match *x.dims() {
        [n, l, c] => Ok((n, l, c)),
        ref dims => Err(Error::input(op, "tokens [n, l, c]", format!("{dims:?}"))),
    }
}
