"""CT slices as the files that scanners and data sets come in."""

import numpy as np

_LARGEST = 81.35858  # of LoDoPaB-CT, in 1 / m


def stack(n=6, height=8, width=8, seed=0):
    """Slices in Hounsfield units."""
    return np.random.default_rng(seed).integers(-1024, 1500, (n, height, width)).astype(np.int16)


def write_dicom(
    path,
    values,
    place=0.0,
    patient="P1",
    series="1.2.3",
    slope=1.0,
    intercept=-1024.0,
    edit=None,
    **tags,
):
    """One file of a series: stored values, and what the scanner says of them; tags that are None
    are left out, and `edit` changes the rest.
    """
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = CTImageStorage, generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    data.SOPClassUID, data.SOPInstanceUID = (
        meta.MediaStorageSOPClassUID,
        meta.MediaStorageSOPInstanceUID,
    )
    data.PatientID, data.SeriesInstanceUID, data.Modality = patient, series, "CT"
    data.ImagePositionPatient, data.ImageOrientationPatient = [0, 0, place], [1, 0, 0, 0, 1, 0]
    data.PixelSpacing = [0.7, 0.7]
    data.Rows, data.Columns = values.shape[-2:]
    if values.ndim == 3:
        data.NumberOfFrames = len(values)
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    unsigned = values.dtype == np.uint16
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = (
        16,
        16,
        15,
        0 if unsigned else 1,
    )
    data.PixelData = values.astype(np.uint16 if unsigned else np.int16).tobytes()
    if slope is not None:
        data.RescaleSlope = slope
    if intercept is not None:
        data.RescaleIntercept = intercept
    for name, value in tags.items():
        if value is None:
            if name in data:
                delattr(data, name)
        else:
            setattr(data, name, value)
    if edit is not None:
        edit(data)
    data.save_as(path, enforce_file_format=True)


def write_enhanced(path, values, places, intercepts, spacing=(0.7, 0.7), **tags):
    """An enhanced CT file: frames whose places and rescaling stand in functional groups of their
    own.
    """
    from pydicom.dataset import Dataset
    from pydicom.uid import EnhancedCTImageStorage

    def item(group, **entries):
        outer, inner = Dataset(), Dataset()
        for name, value in entries.items():
            setattr(inner, name, value)
        setattr(outer, group, [inner])
        return outer

    def edit(data):
        for name in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
            delattr(data, name)
        data.NumberOfFrames = len(values)
        shared = item("PixelMeasuresSequence", PixelSpacing=list(spacing))
        shared.update(item("PlaneOrientationSequence", ImageOrientationPatient=[1, 0, 0, 0, 1, 0]))
        data.SharedFunctionalGroupsSequence = [shared]
        frames = []
        for place, intercept in zip(places, intercepts, strict=True):
            frame = item("PlanePositionSequence", ImagePositionPatient=[0, 0, place])
            frame.update(
                item(
                    "PixelValueTransformationSequence",
                    RescaleSlope=1,
                    RescaleIntercept=intercept,
                    RescaleType="HU",
                )
            )
            frames.append(frame)
        data.PerFrameFunctionalGroupsSequence = frames

    tags = {"SOPClassUID": EnhancedCTImageStorage, **tags}
    write_dicom(
        path,
        values if len(values) > 1 else values[0],
        slope=None,
        intercept=None,
        edit=edit,
        **tags,
    )


def write_lodopab(folder, number, hu, part="train"):
    """One file of LoDoPaB-CT: attenuations over their largest."""
    import h5py

    with h5py.File(folder / f"ground_truth_{part}_{number:03d}.hdf5", "w") as file:
        file["data"] = ((hu * (20 - 0.02) / 1000 + 20) / _LARGEST).astype(np.float32)
