import numpy as np
import pytest

from deft.data import Slices
from deft.errors import BadImage
from tests.data.slices import stack, write_lodopab


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

    @pytest.mark.parametrize(
        ("table", "line"),
        [
            ("7\n\n8\n", 2),
            ("patient_id\n7\n8\n9\n", 1),
            ("7\nnan\n8\n", 2),
            ("7,1\n7,2\n8,3\n", 1),
            ("7\n8 9\n1\n", 2),
        ],
    )
    def test_a_table_of_patients_that_is_out_of_step(self, tmp_path, table, line):
        self.write(tmp_path, 0, stack(n=3))
        (tmp_path / "patient_ids_rand_train.csv").write_text(table)
        with pytest.raises(BadImage, match=f"line {line}") as raised:
            Slices.lodopab(tmp_path)
        assert "one line for each slice" in raised.value.expected
        assert "wrong patients" in raised.value.advice

    def test_a_table_that_is_no_text(self, tmp_path):
        self.write(tmp_path, 0, stack(n=3))
        (tmp_path / "patient_ids_rand_train.csv").write_bytes(b"\xff\xfe7\x00")
        with pytest.raises(BadImage, match="cannot be read as text"):
            Slices.lodopab(tmp_path)

    def test_one_patient(self, tmp_path):
        self.write(tmp_path, 0, stack(n=3))
        (tmp_path / "patient_ids_rand_train.csv").write_text("\ufeff7\n7\n7\n")
        assert Slices.lodopab(tmp_path).patients == ["7", "7", "7"]

    def test_a_file_that_is_missing_in_between(self, tmp_path):
        for number in (0, 2):
            self.write(tmp_path, number, stack(n=2))
        with pytest.warns(
            UserWarning, match="lacks file 001 of the part train, and reads the 2 others"
        ):
            assert len(Slices.lodopab(tmp_path)) == 4
        (tmp_path / "patient_ids_rand_train.csv").write_text("7\n7\n8\n8\n9\n9\n")
        with pytest.warns(UserWarning, match="lacks file"), pytest.raises(BadImage) as raised:
            Slices.lodopab(tmp_path)
        assert "add the missing files" in raised.value.advice

    def test_other_names_are_not_read(self, tmp_path):
        self.write(tmp_path, 0, stack(n=2))
        (tmp_path / "ground_truth_train_new.hdf5").write_bytes(b"")
        assert len(Slices.lodopab(tmp_path)) == 2
        with pytest.raises(BadImage) as raised:
            Slices.lodopab(tmp_path, "trian")
        assert raised.value.advice == "the folder holds train"

    @pytest.mark.parametrize("kind", ["group", "text", "volume"])
    def test_data_of_another_kind(self, tmp_path, kind):
        import h5py

        with h5py.File(tmp_path / "ground_truth_train_000.hdf5", "w") as file:
            if kind == "group":
                file.create_group("data")
            else:
                file["data"] = (
                    np.full((2, 3, 4), b"a") if kind == "text" else np.zeros((2, 3, 4, 5))
                )
        with pytest.raises(BadImage, match=r"ground_truth_train_000\.hdf5"):
            Slices.lodopab(tmp_path)

    @pytest.mark.parametrize("scale", [81.4, 4095.0, -1.0])
    def test_values_in_other_units(self, tmp_path, scale):
        import h5py

        with h5py.File(tmp_path / "ground_truth_train_000.hdf5", "w") as file:
            file["data"] = np.linspace(0, 1, 32).reshape(2, 4, 4) * scale
        with pytest.raises(BadImage) as raised:
            Slices.lodopab(tmp_path)
        assert "in [0, 1]" in raised.value.expected

    def test_nan(self, tmp_path):
        self.write(tmp_path, 0, np.full((2, 4, 4), np.nan))
        with pytest.raises(BadImage, match="NaN"):
            Slices.lodopab(tmp_path)
