import numpy as np
import pytest
import torch

from deft.data import Slices, read_dicom, split_patients, write_npz
from deft.data.ct import WINDOWS, display, holds_slices, levels_to_hounsfield, to_attenuation, to_hounsfield, window
from deft.errors import BadImage, InvalidInput
from deft.noise import Noise
from deft.operators import hounsfield
from deft.problems import Tomography
from tests.data.slices import stack, write_dicom, write_lodopab


class TestUnits:
    def test_water_and_air(self):
        hu = torch.tensor([-1000.0, 0.0, 1000.0])
        torch.testing.assert_close(to_attenuation(hu, 0.2), torch.tensor([0.0, 0.2, 0.4]))
        torch.testing.assert_close(to_hounsfield(to_attenuation(hu, 0.2), 0.2), hu)

    def test_the_operator_and_the_data_mean_the_same(self):
        """What a prior's [-1, 1] is to the slices it is to the operator."""
        slices = Slices(stack(), (-1000.0, 2000.0))
        problem = Tomography(views=3, window=slices.window, mu_water=0.19, field=8.0)
        x_0 = slices[2][None]
        observation = problem.draw(x_0, Noise([0]))
        attenuation = to_attenuation(slices.slice(2).clamp(-1000, 2000), 0.19)[None, None]
        rays = hounsfield(observation.operator.operator, (-1000.0, 1000.0), 1.0).operator
        torch.testing.assert_close(observation.y, rays(attenuation), atol=1e-4, rtol=1e-4)

    def test_levels(self):
        images = np.array([[[10, 60, 85, 110]], [[0, 30, 45, 60]]], np.uint8)
        hu = levels_to_hounsfield(images, np.array([10, 30], np.uint8), np.array([110, 60], np.uint8))
        np.testing.assert_allclose(hu, [[[-1000, -500, -250, 0]], [[-1000, -1000, -500, 0]]], atol=1e-3)
        with pytest.raises(InvalidInput, match="image 1 has the levels 30 and 30"):
            levels_to_hounsfield(images, np.array([10, 30]), np.array([110, 30]))
        with pytest.raises(InvalidInput, match="n levels each"):
            levels_to_hounsfield(images, np.array([10]), np.array([110]))

    def test_display(self):
        hu = torch.tensor([-2000.0, -160.0, 40.0, 240.0, 900.0])
        torch.testing.assert_close(display(hu, "abdomen"), torch.tensor([0.0, 0.0, 0.5, 1.0, 1.0]))
        assert all(low < high for low, high in WINDOWS.values())
        with pytest.raises(InvalidInput, match="did you mean lung"):
            window("lungs")
        with pytest.raises(InvalidInput, match="low < high"):
            window((100.0, 100.0))


class TestSlices:
    def test_the_window_is_the_range(self):
        hu = stack()
        slices = Slices(hu, (-1000.0, 1000.0))
        assert len(slices) == 6
        assert slices.event_shape == slices[0].shape == (1, 8, 8)
        expected = torch.from_numpy(hu[3].astype(np.float32)).clamp(-1000, 1000)
        torch.testing.assert_close(slices[3][0], expected / 1000)
        torch.testing.assert_close(slices.hounsfield(slices[3])[0], expected, atol=1e-3, rtol=1e-5)
        torch.testing.assert_close(slices.slice(3), torch.from_numpy(hu[3].astype(np.float32)))

    def test_blocks_are_averaged_before_the_window(self):
        hu = np.full((1, 4, 4), -1000, np.int16)
        hu[0, 0, 0] = 3000
        assert Slices(hu, (-1000.0, 1000.0), size=2)[0][0, 0, 0] == 0.0

    @pytest.mark.parametrize("suffix", [".npy", ".npz"])
    def test_arrays(self, tmp_path, suffix):
        hu, path = stack(), tmp_path / f"slices{suffix}"
        if suffix == ".npy":
            np.save(path, hu)
            slices = Slices.read(path)
        else:
            write_npz(path, {"hu": hu, "source": np.array(["a", "a", "b", "b", "c", "c"])})
            slices = Slices.read(path, key="hu", patients="source")
            assert slices.patients == ["a", "a", "b", "b", "c", "c"]
        torch.testing.assert_close(slices.slice(5), torch.from_numpy(hu[5].astype(np.float32)))

    @pytest.mark.parametrize(
        ("hu", "settings", "says"),
        [
            (stack().reshape(1, 6, 8, 8), {}, r"got the shape \(1, 6, 8, 8\), a volume of each signal where slices are expected"),
            (stack()[0], {}, "no stack of slices"),
            (stack().astype(np.uint8), {}, "8-bit values are no Hounsfield units"),
            (np.random.default_rng(0).uniform(0, 1.4, (2, 4, 4)), {}, "look like attenuations"),
            (stack() + 1024, {}, "without their rescale slope and intercept"),
            (stack(), {"patients": ["a"]}, "got 1 for 6 slices"),
            (stack(), {"size": 3}, r"slices of 8 x 8 cannot be averaged .* 3 x 3"),
            (stack(), {"through": "lnug"}, "did you mean lung"),
        ],
    )
    def test_errors(self, hu, settings, says):
        with pytest.raises(InvalidInput, match=says):
            Slices(hu, **settings)

    def test_values_that_are_not_finite(self):
        hu = stack(n=40).astype(np.float32)
        hu[1, 2, 3] = np.nan
        slices = Slices(hu)
        with pytest.raises(BadImage, match="slice 1 holds NaN"):
            slices[1]
        with pytest.raises(BadImage, match="NaN"):
            Slices(hu * np.nan)


class TestSplit:
    def test_no_patient_is_in_two_sets(self):
        patients = [f"p{i % 11}" for i in range(100)]
        sets = split_patients(patients, [0.7, 0.15, 0.15])
        assert sorted(i for chosen in sets for i in chosen) == list(range(100))
        seen = [{patients[i] for i in chosen} for chosen in sets]
        assert not seen[0] & seen[1]
        assert not seen[0] & seen[2]
        assert not seen[1] & seen[2]
        assert abs(len(sets[0]) - 70) <= 10

    def test_few_long_series_do_not_make_a_set(self):
        """Two of 87 patients have 70 % of the slices: a set of them alone would have its share of slices, and nothing of the others."""
        patients = ["head"] * 107 + ["abdomen"] * 119 + [f"p{i}" for i in range(85)] + [f"p{i}" for i in range(10)]
        sets = split_patients(patients, [0.7, 0.15, 0.15])
        assert all(len({patients[i] for i in chosen}) > 10 for chosen in sets)

    def test_it_depends_on_the_seed_and_on_nothing_else(self):
        patients = [f"p{i // 3}" for i in range(60)]
        again = split_patients(list(patients), [0.5, 0.5], seed=1)
        assert again == split_patients(patients, [0.5, 0.5], seed=1) != split_patients(patients, [0.5, 0.5], seed=2)

    def test_one_patient_with_most_of_the_slices(self):
        sets = split_patients(["long"] * 90 + ["a", "b"], [0.8, 0.1, 0.1])
        assert [len(chosen) for chosen in sets] == [90, 1, 1]

    def test_of_slices(self):
        hu = stack()
        train, test = Slices(hu, patients=["a", "a", "b", "b", "c", "c"]).split([2 / 3, 1 / 3])
        assert len(train) == 4
        assert len(test) == 2
        assert not set(train.patients) & set(test.patients)
        assert len(test.take([1])) == 1
        torch.testing.assert_close(test.take([1])[0], test[1])

    def test_errors(self):
        with pytest.raises(InvalidInput, match="3 sets need as many patients; there are 2: a, b"):
            split_patients(["a", "b", "a"], [0.5, 0.25, 0.25])
        with pytest.raises(InvalidInput, match="sum to 1"):
            split_patients(["a", "b"], [0.5, 0.6])
        with pytest.raises(InvalidInput, match="nobody said whose"):
            Slices(stack()).split([0.5, 0.5])


class TestDicom:
    @pytest.fixture(autouse=True)
    def _needs_pydicom(self):
        pytest.importorskip("pydicom", reason="pydicom is in the extra `data`")

    write = staticmethod(write_dicom)

    def test_slices_are_in_their_order_and_in_hounsfield_units(self, tmp_path):
        hu = stack(n=3, height=4, width=4)
        for k, place in enumerate((20.0, -5.0, 7.5)):
            self.write(tmp_path / f"{k}.dcm", (hu[k].astype(int) + 1024) // 2, place, slope=2.0)
        (one,) = read_dicom(tmp_path)
        assert one.patient == "P1"
        assert one.spacing == (0.7, 0.8)
        np.testing.assert_allclose(one.hu, hu[[1, 2, 0]], atol=1.0)  # one bit was lost
        slices = Slices.dicom(tmp_path, "chest", size=2)
        assert slices.event_shape == (1, 2, 2)
        assert slices.patients == ["P1"] * 3

    def test_series_of_many_patients(self, tmp_path):
        for patient in ("B", "A"):
            for k in range(2):
                (tmp_path / patient).mkdir(exist_ok=True)
                self.write(tmp_path / patient / f"IM{k}", stack(n=1)[0] + 1024, k, patient, series=f"1.{ord(patient)}")
        assert [one.patient for one in read_dicom(tmp_path)] == ["A", "B"]
        train, test = Slices.dicom(tmp_path).split([0.5, 0.5])
        assert len(train) == len(test) == 2

    @pytest.mark.parametrize(
        ("tags", "says"),
        [
            ({"slope": None}, r"a\.dcm has no RescaleSlope, so that its values have no unit"),
            ({"slope": None, "intercept": None}, "has no RescaleSlope and no RescaleIntercept"),
            ({"RescaleType": "US"}, "says that its values are 'US'; expected 'HU'"),
            ({"Modality": "MR"}, "of the modality MR"),
        ],
    )
    def test_what_a_file_must_say(self, tmp_path, tags, says):
        self.write(tmp_path / "a.dcm", stack(n=1)[0], **tags)
        with pytest.raises(BadImage, match=says):
            read_dicom(tmp_path)

    def test_mixed_sizes(self, tmp_path):
        self.write(tmp_path / "a.dcm", stack(n=1)[0], 0.0)
        self.write(tmp_path / "b.dcm", stack(n=1, height=6)[0], 1.0)
        with pytest.raises(BadImage, match=r"mixed slice sizes .* a\.dcm is 8 x 8 and b\.dcm 6 x 8"):
            read_dicom(tmp_path)

    def test_mixed_sizes_between_series(self, tmp_path):
        self.write(tmp_path / "a.dcm", stack(n=1)[0] + 1024, patient="A", series="1.1")
        self.write(tmp_path / "b.dcm", stack(n=1, height=4, width=4)[0] + 1024, patient="B", series="1.2")
        with pytest.raises(BadImage, match="say a `size` that divides both"):
            Slices.dicom(tmp_path)
        assert len(Slices.dicom(tmp_path, size=4)) == 2

    def test_a_volume(self, tmp_path):
        self.write(tmp_path / "a.dcm", stack(n=3))
        with pytest.raises(BadImage, match="a volume of 3 frames where slices are expected"):
            read_dicom(tmp_path)

    def test_files_that_are_none(self, tmp_path):
        with pytest.raises(BadImage, match="holds no DICOM files"):
            read_dicom(tmp_path)
        (tmp_path / "a.dcm").write_bytes(b"no such thing")
        with pytest.raises(BadImage, match=r"a\.dcm is truncated or no DICOM file"):
            read_dicom(tmp_path)


class TestLoDoPaB:
    @pytest.fixture(autouse=True)
    def _needs_h5py(self):
        pytest.importorskip("h5py", reason="h5py is in the extra `data`")

    write = staticmethod(write_lodopab)

    def test_files_are_one_stack_in_hounsfield_units(self, tmp_path):
        hu = np.clip(stack(n=5), -1000, None)
        self.write(tmp_path, 0, hu[:3])
        self.write(tmp_path, 1, hu[3:])
        (tmp_path / "patient_ids_rand_train.csv").write_text("7\n7\n8\n8\n9\n")
        slices = Slices.lodopab(tmp_path, "train", "full")
        assert len(slices) == 5
        assert slices.patients == ["7", "7", "8", "8", "9"]
        for i in range(5):
            np.testing.assert_allclose(slices.slice(i).numpy(), hu[i], atol=0.01)
        assert len(slices.split([0.6, 0.4])[1]) == 2

    def test_errors(self, tmp_path):
        with pytest.raises(BadImage, match=r"holds no ground_truth_test_\*\.hdf5"):
            Slices.lodopab(tmp_path, "test")
        (tmp_path / "ground_truth_train_000.hdf5").write_bytes(b"nothing")
        with pytest.raises(BadImage, match="truncated, or no HDF5 file"):
            Slices.lodopab(tmp_path)
        self.write(tmp_path, 0, stack(n=2))
        self.write(tmp_path, 1, stack(n=2, height=6))
        with pytest.raises(BadImage, match="mixes slices of 6 x 8 and 8 x 8"):
            Slices.lodopab(tmp_path)
        (tmp_path / "ground_truth_train_001.hdf5").unlink()
        (tmp_path / "patient_ids_rand_train.csv").write_text("7\n")
        with pytest.raises(BadImage, match="says whose 1 slices are, and 2 are"):
            Slices.lodopab(tmp_path)


class TestOpen:
    def test_arrays(self, tmp_path):
        hu, event_shape = stack(), (1, 8, 8)
        np.save(tmp_path / "x.npy", hu)
        np.save(tmp_path / "channels.npy", hu[:, None])
        slices = Slices.open(tmp_path / "x.npy", event_shape, (-1000.0, 1000.0))
        torch.testing.assert_close(slices[2], Slices(hu, (-1000.0, 1000.0))[2])
        torch.testing.assert_close(slices[2], Slices.open(tmp_path / "channels.npy", event_shape, (-1000.0, 1000.0))[2])
        small = Slices.open(tmp_path / "x.npy", (1, 4, 4), "full", average=True)
        torch.testing.assert_close(small[1], Slices(hu, size=4)[1])
        assert not holds_slices(tmp_path / "x.npy")

    def test_dicom(self, tmp_path):
        pytest.importorskip("pydicom")
        (tmp_path / "series").mkdir()
        for k in range(2):
            write_dicom(tmp_path / "series" / f"IM{k}", stack(n=1, seed=k)[0] + 1024, k)
        assert holds_slices(tmp_path)
        assert holds_slices(tmp_path / "series" / "IM0")
        assert len(Slices.open(tmp_path, (1, 8, 8), "full")) == 2

    def test_lodopab(self, tmp_path):
        pytest.importorskip("h5py")
        write_lodopab(tmp_path, 0, stack(n=3))
        assert holds_slices(tmp_path)
        assert len(Slices.open(tmp_path, (1, 8, 8), "full")) == 3
        write_lodopab(tmp_path, 0, stack(n=2), part="test")
        with pytest.raises(BadImage, match="holds the parts test, train of LoDoPaB-CT"):
            Slices.open(tmp_path, (1, 8, 8), "full")

    def test_what_is_not_slices(self, tmp_path):
        assert not holds_slices(tmp_path)
        assert not holds_slices(tmp_path / "nothing")
        (tmp_path / "LICENSE").write_text("terms")
        (tmp_path / "a.png").write_bytes(b"")
        assert not holds_slices(tmp_path)

    def test_errors(self, tmp_path):
        np.save(tmp_path / "x.npy", stack())
        np.save(tmp_path / "volumes.npy", stack(n=4).reshape(2, 2, 8, 8))
        with pytest.raises(BadImage, match=r"slices of 8 x 8 and the prior takes 4 x 4; fit='resize'"):
            Slices.open(tmp_path / "x.npy", (1, 4, 4), "full")
        with pytest.raises(InvalidInput, match=r"the prior takes \(3, 8, 8\); give a prior of one channel"):
            Slices.open(tmp_path / "x.npy", (3, 8, 8), "full")
        with pytest.raises(InvalidInput, match="a volume of each signal where slices are expected"):
            Slices.open(tmp_path / "volumes.npy", (1, 8, 8), "full")


def test_an_extra_that_is_missing(monkeypatch, tmp_path):
    import sys

    monkeypatch.setitem(sys.modules, "pydicom", None)
    (tmp_path / "a.dcm").write_bytes(b"")
    with pytest.raises(InvalidInput, match=r"pip install deft-diffusion\[data\]"):
        read_dicom(tmp_path)
