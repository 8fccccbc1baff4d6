//! Batches from bytes, against tallow-augment to the bit.

use tallow_augment::ops::{self, Window};
use tallow_augment::{Image8, Normalization, NormalizedImage, PaddingMode, PipelineConfig, Size};
use tallow_base::rng::keyed;
use tallow_cuda::op::images::{Crop, Draw, Images, Padding, Rectangle};
use tallow_cuda::{Bf16, Device, Result};

use crate::backend::on_each_device;
use crate::support::{get, random, room};

on_each_device!(batches_are_the_cpus, draws_of_nothing_are_refused);

const PADDINGS: [(Padding, PaddingMode); 4] = [
    (Padding::Constant, PaddingMode::Constant),
    (Padding::Edge, PaddingMode::Edge),
    (Padding::Reflect, PaddingMode::Reflect),
    (Padding::Symmetric, PaddingMode::Symmetric),
];

fn batches_are_the_cpus<D: Device>(device: &D) -> Result<()> {
    let fill = [7, 130, 255];
    for (c, [h, w], [height, width]) in [(1, [5, 7], [6, 4]), (3, [9, 8], [9, 8]), (3, [1, 3], [4, 5])] {
        let count = 4;
        let bytes: Vec<u8> = random::<f32>(count * h * w * c, 1).iter().map(|x| ((x + 1.0) * 127.5) as u8).collect();
        let normalization = Normalization::imagenet().for_channels(c);
        let images = Images::new(device, [count, h, w, c], &bytes, &normalization.mean, &normalization.std)?;
        let rectangles = [
            Rectangle { top: 1, left: 1, height: 2, width: 30, values: [0.5, -1.0, 2.0] },
            Rectangle { top: 0, left: 0, height: 1, width: 2, values: [0.0; 3] },
            Rectangle { top: 2, left: 0, height: 1, width: 3, values: [3.0, 4.0, 5.0] },
        ];
        let draws: Vec<Draw> = (0..13u32)
            .map(|i| Draw {
                image: i * 3 % count as u32,
                top: i as i32 % 7 - 4,
                left: i as i32 % 5 - 2,
                flip_horizontally: i & 1,
                flip_vertically: i >> 1 & 1,
                first_rectangle: i % 2,
                rectangles: i % 3,
            })
            .collect();
        for (padding, mode) in PADDINGS {
            let len = draws.len() * height * width * c;
            let (mut y, mut low) = (room::<D, f32>(device, len)?, room::<D, Bf16>(device, len)?);
            let crop = Crop { height, width, padding, fill };
            images.batch(device, &draws, &rectangles, crop, y.view_mut())?;
            images.batch(device, &draws, &rectangles, crop, low.view_mut())?;
            let mut want = Vec::new();
            for draw in &draws {
                let own = &bytes[draw.image as usize * h * w * c..][..h * w * c];
                let image = Image8::new(Size { height: h, width: w }, c, own.to_vec()).unwrap();
                let window = Window { top: draw.top.into(), left: draw.left.into(), size: Size { height, width } };
                let mut image = ops::crop(&image, window, mode, fill);
                if draw.flip_horizontally == 1 {
                    ops::horizontal_flip(&mut image);
                }
                if draw.flip_vertically == 1 {
                    ops::vertical_flip(&mut image);
                }
                let mut pixels = vec![0.0; height * width * c];
                pixels.copy_from_slice(&normalised(&normalization, image));
                let mut view = NormalizedImage { size: Size { height, width }, channels: c, data: &mut pixels };
                for rectangle in &rectangles[draw.first_rectangle as usize..][..draw.rectangles as usize] {
                    let size = Size { height: rectangle.height as usize, width: rectangle.width as usize };
                    let place = ops::Rectangle { top: rectangle.top as usize, left: rectangle.left as usize, size };
                    ops::erase(&mut view, place, |channel| rectangle.values[channel]);
                }
                want.extend(pixels);
            }
            assert_eq!(get(device, &y)?, want, "{c} channels, {padding:?}");
            let want: Vec<f32> = want.into_iter().map(|value| Bf16::from_f32(value).to_f32()).collect();
            assert_eq!(get(device, &low)?, want, "{c} channels, {padding:?}, bf16");
        }
    }
    Ok(())
}

/// What a pipeline that changes nothing makes of an image.
fn normalised(normalization: &Normalization, image: Image8) -> Vec<f32> {
    let (Size { height, width }, c) = (image.size(), image.channels());
    let text = format!(r#"[{{ "op": "CenterCrop", "size": [{height}, {width}] }}]"#);
    let pipeline = serde_json::from_str::<PipelineConfig>(&text).unwrap().build(c, normalization).unwrap();
    let mut pixels = vec![0.0; height * width * c];
    pipeline.apply(image.into_dynamic(), &mut keyed(0, 0, 0, 0), &mut pixels).unwrap();
    pixels
}

fn draws_of_nothing_are_refused<D: Device>(device: &D) -> Result<()> {
    let images = Images::new(device, [1, 2, 2, 1], &[0; 4], &[0.0], &[1.0])?;
    let crop = Crop { height: 2, width: 2, padding: Padding::Constant, fill: [0; 3] };
    let mut y = room::<D, f32>(device, 4)?;
    for draw in [Draw { image: 1, ..Draw::default() }, Draw { rectangles: 1, ..Draw::default() }] {
        assert!(images.batch(device, &[draw], &[], crop, y.view_mut()).is_err());
    }
    Ok(())
}
