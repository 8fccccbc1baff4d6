//! A pipeline for another size of images: every size in it in proportion.

use crate::ops::{OpConfig, Resize};
use crate::{Padding, PipelineConfig, Size, SizeParam};

impl PipelineConfig {
    /// The pipeline that makes images of size `to` in the way in which this one makes images of size `from`: the sizes of
    /// scaling and cropping ops, and the padding of crops, change in proportion. If no op scales, the image is scaled to `to`
    /// first. If the proportions change, the short side of a Resize becomes `[height, width]`.
    ///
    /// ```
    /// use tallow_augment::{PipelineConfig, Size};
    ///
    /// let ops: PipelineConfig =
    ///     serde_json::from_str(r#"[{ "op": "Resize", "size": 256 }, { "op": "CenterCrop", "size": 224 }]"#)?;
    /// let square = |side| Size { height: side, width: side };
    /// let half = serde_json::to_value(ops.rescaled(square(224), square(112)))?;
    /// assert_eq!((&half[0]["size"], &half[1]["size"]), (&128.into(), &112.into()));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn rescaled(&self, from: Size, to: Size) -> Self {
        if from == to {
            return self.clone();
        }
        let scaled =
            |length: usize, from: usize, to: usize| (length as f64 * to as f64 / from.max(1) as f64).round() as usize;
        let rows = |length: usize| scaled(length, from.height, to.height);
        let columns = |length: usize| scaled(length, from.width, to.width);
        let proportional = from.height * to.width == from.width * to.height;
        let size = |size: SizeParam| match size {
            SizeParam::One(side) if proportional => SizeParam::One(rows(side).max(1)),
            SizeParam::One(side) => SizeParam::Exact([rows(side).max(1), columns(side).max(1)]),
            SizeParam::Exact([height, width]) => SizeParam::Exact([rows(height).max(1), columns(width).max(1)]),
        };
        let padding = |padding: Padding| match padding {
            Padding::All(side) if proportional => Padding::All(rows(side)),
            Padding::Two([horizontal, vertical]) => Padding::Two([columns(horizontal), rows(vertical)]),
            other => {
                let [left, top, right, bottom] = other.sides();
                Padding::Four([columns(left), rows(top), columns(right), rows(bottom)])
            }
        };
        let mut scales = false;
        let mut ops: Vec<OpConfig> = self.0.clone();
        for op in &mut ops {
            match op {
                OpConfig::Resize(op) => (scales, op.size) = (true, size(op.size)),
                OpConfig::ResizePad(op) => (scales, op.size) = (true, size(op.size)),
                OpConfig::RandomResizedCrop(op) => (scales, op.size) = (true, size(op.size)),
                OpConfig::CenterCrop(op) => op.size = size(op.size),
                OpConfig::RandomCrop(op) => (op.size, op.padding) = (size(op.size), padding(op.padding)),
                _ => {}
            }
        }
        if !scales {
            let exact = SizeParam::Exact([to.height, to.width]);
            ops.insert(0, Resize { size: exact, interpolation: Default::default(), p: 1.0 }.into());
        }
        Self(ops)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rescaled(ops: &str, to: [usize; 2]) -> serde_json::Value {
        let ops: PipelineConfig = serde_json::from_str(ops).expect(ops);
        let size = |[height, width]: [usize; 2]| Size { height, width };
        let norm = crate::Normalization { mean: vec![0.5], std: vec![0.5] };
        let (height, width, _) = ops.build(1, &norm).expect("a pipeline").output_shape();
        let rescaled = ops.rescaled(size([height, width]), size(to));
        let (height, width, _) = rescaled.build(1, &norm).expect("a pipeline").output_shape();
        assert_eq!([height, width], to, "{rescaled:?}");
        serde_json::to_value(rescaled).expect("JSON")
    }

    #[test]
    fn sizes_and_padding_change_in_proportion() {
        // The recipe `fast` on images of 28 pixels, for 64: nothing in it scales an image.
        let fast =
            r#"[{ "op": "RandomCrop", "size": 28, "padding": 2, "fill": 73 }, { "op": "RandomHorizontalFlip" }]"#;
        let ops = rescaled(fast, [64, 64]);
        assert_eq!(ops[0]["size"], serde_json::json!([64, 64]));
        assert_eq!((&ops[1]["size"], &ops[1]["padding"], &ops[1]["fill"]), (&64.into(), &5.into(), &73.into()));
        let ops = rescaled(r#"[{ "op": "Resize", "size": 256 }, { "op": "CenterCrop", "size": 224 }]"#, [64, 96]);
        assert_eq!((&ops[0]["size"], &ops[1]["size"]), (&serde_json::json!([73, 110]), &serde_json::json!([64, 96])));
        let ops = rescaled(r#"[{ "op": "RandomResizedCrop", "size": [32, 64] }]"#, [64, 128]);
        assert_eq!(ops[0]["size"], serde_json::json!([64, 128]));
        let same = r#"[{ "op": "Resize", "size": [28, 28] }]"#;
        assert_eq!(rescaled(same, [28, 28])[0]["size"], serde_json::json!([28, 28]));
    }
}
