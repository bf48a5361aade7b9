"""Rows of `deft scaffold`; part of the table in `rows.py`."""

from __future__ import annotations

from tests.bad_input.row import CHAINS, CONTIG, SCAFFOLD, Row

_CHECK = "scaffold --check {w}/protein/designs"
_PIXELS = "--problem Inpainting --problem.sigma_y 0.05"
_BACKBONE = "--prior {w}/protein/tiny.safetensors --images {w}/two"
_LEARNED = "scaffold --problem {w}/protein/motif.pdb --designs 1 --steps 2 --out out"

SCAFFOLD_ROWS: dict[str, list[Row]] = {
    "backbones in place of images": [
        Row(
            f"{command} --out out",
            "",
            ("got tiny-backbone, of protein backbones", "by deft scaffold"),
        )
        for command in (
            f"sample --method DPS {_PIXELS} {_BACKBONE}",
            "sample --h {w}/protein/h.safetensors --images {w}/two",
            "sample --h {w}/protein/h.safetensors --measurements {w}/two",
            f"bank --size 4 {_BACKBONE}",
            f"evaluate --config {{w}}/yaml/evaluate.yaml {_PIXELS} {_BACKBONE}",
            "conformal --h {w}/protein/h.safetensors --images {w}/images",
            "alarm --h {w}/protein/h.safetensors --images {w}/many",
            "distil --h {w}/protein/h.safetensors --images {w}/images --steps_to 2",
            f"demo --quick true {_BACKBONE}",
        )
    ],
    "backbones in place of images, more": [
        Row(
            "app --h {w}/protein/h.safetensors",
            "",
            ("--h: got {w}/protein/h.safetensors, of protein backbones", "deft scaffold"),
        ),
        Row(
            "app --h {w}/run --prior {w}/protein/tiny.safetensors",
            "",
            ("got tiny-backbone, of protein backbones; expected one of images", "deft scaffold"),
        ),
        Row(
            "serve-prior --prior {w}/protein/tiny.safetensors",
            "",
            ("--prior: got tiny-backbone", "of images", "deft scaffold --prior"),
        ),
        Row(
            "export {w}/protein/tiny.safetensors --to diffusers --out out",
            "",
            ("tiny-backbone (EquivariantBackbone); expected a UNet2DModel",),
        ),
        Row(
            CHAINS.replace("MotifScaffolding", "Inpainting"),
            "",
            ("--problem: got Inpainting; expected MotifScaffolding", "tiny-backbone"),
        ),
        *(
            Row(
                "adapt --h {w}/protein/h.safetensors --problem SuperResolution --problem.factor 2 "
                f"--images {{w}}/protein/chains.npz --out out {how}",
                "",
                ("--problem: got SuperResolution; expected MotifScaffolding", "tiny-backbone"),
            )
            for how in ("--minutes 0.01", "--steps 1")
        ),
        Row(
            "adapt --h {w}/protein/h.safetensors --problem MotifScaffolding --images {w}/two "
            "--out out",
            "",
            ("{w}/two: got no chain",),
        ),
        Row(
            "inspect {w}/protein/tiny.safetensors --images {w}/two",
            "",
            ("--images", "it is not used with {w}/protein/tiny.safetensors"),
        ),
    ],
    "motif problems": [
        Row(
            SCAFFOLD,
            "--problem {w}/protein/nowhere.pdb",
            ("nowhere.pdb: got no file that can be read", "a PDB or mmCIF file"),
        ),
        Row(SCAFFOLD, "--problem {w}/protein/empty.pdb", ("empty.pdb: got an empty file", "--pdb")),
        Row(SCAFFOLD, "--problem {w}/protein/binary.pdb", ("binary.pdb: got a binary file",)),
        Row(
            SCAFFOLD,
            "--problem {w}/protein/chain.pdb",
            ("without a problem in its header", "--pdb FILE --contig"),
        ),
        Row(SCAFFOLD, "--problem {w}/protein/bare.csv", ("got no column motif_path", "contig")),
        Row(
            SCAFFOLD,
            "--problem {w}/protein/wrong.csv",
            ("row 2 of {w}/protein/wrong.csv (MADE)", "got A40", "which has 1 to 30"),
        ),
        Row(
            SCAFFOLD,
            "--problem {w}/protein/two.csv --name AGIAN",
            ("--name: got AGIAN; expected a problem of", "MADE, AGAIN", "did you mean AGAIN?"),
        ),
        Row(
            SCAFFOLD,
            "--problem {w}/protein/never.pdb",
            ("the length of NEVER: got 100 to 120", "20 to 30: 5-10/A3-12/5-10"),
        ),
        Row(
            SCAFFOLD,
            "--problem {w}/protein/short.pdb",
            ("the length of SHORT: got 10 to 13", "at least 16, the shortest chain of"),
        ),
        Row(
            SCAFFOLD,
            "--problem {w}/protein/twice.csv",
            ("--problem: got 2 problems that are called MADE",),
        ),
        Row(
            SCAFFOLD,
            "--problem {w}/protein/away.csv",
            ("--name: got ../../away; expected letters, digits",),
        ),
        Row(
            "scaffold --out out",
            "",
            ("either --problem FILE", "--pdb FILE with --contig"),
        ),
    ],
    "contigs": [
        Row(CONTIG, "--contig 5/C3-12/5", ("chain.pdb: got C; expected one of A, B",)),
        Row(CONTIG, "--contig 5/A3-42/5", ("got A42; expected one of chain A, which has 1 to 30",)),
        Row(CONTIG, "--contig 5/A12-3/5", ("got A12 to A3", "the first residue before the last")),
        Row(CONTIG, "--contig 5/A3-12/0", ("--contig: got 5/A3-12/0, with a chain break", "0-0")),
        Row(CONTIG, "--contig '5/A3-9/0 B1-5'", ("with a chain break", "expected one chain")),
        Row(CONTIG, "--contig 5-10", ("got no segment", "deft sample")),
        Row(CONTIG, "--contig 5/A3:12/5", ("--contig: got 'A3:12' in 5/A3:12/5",)),
        Row(
            CONTIG,
            "--contig 100/A3-12/5",
            ("the length of chain: got 115 residues; expected at most 40, the longest chain of",),
        ),
        Row(
            CONTIG,
            "--length 50-75",
            ("got 50 to 75 residues", "a length that its parts can have, 20: 5/A3-12/5"),
        ),
        Row(CONTIG, "--length twenty", ("--length: got twenty", "65, 50-75")),
        Row(SCAFFOLD, "--contig 5/A3-12/5", ("--contig: got 5/A3-12/5; expected nothing",)),
        Row(CONTIG, "--name ../away", ("--name: got ../away; expected letters, digits",)),
    ],
    "structures of motifs": [
        Row(
            CONTIG,
            "--pdb {w}/protein/missing.pdb --contig 5/A3-8/5",
            ("residues without a C-alpha atom: A5", "two segments"),
        ),
        Row(
            CONTIG,
            "--pdb {w}/protein/broken.pdb --contig 5/A8-13/5",
            ("a chain break", "between A12 and A13", "one that ends with A12"),
        ),
        Row(
            CONTIG,
            "--pdb {w}/protein/inserted.pdb --contig 5/A3-13C/5",
            ("got A13C", "which has 1 to 13"),
        ),
        Row(CONTIG, "--pdb {w}/protein/empty.pdb", ("empty.pdb: got an empty file",)),
        Row(CONTIG, "--pdb {w}/protein/binary.pdb", ("binary.pdb: got a binary file",)),
        Row(SCAFFOLD, "--pdb {w}/protein/chain.pdb", ("either --problem FILE",)),
        Row(
            CONTIG,
            "--export_insilico more",
            ("the motif of chain: got residues without N, C or O: A3", "the whole backbone"),
        ),
        Row(SCAFFOLD, "--export_motifbench {w}/file", ("--export_motifbench: got", "a folder")),
        Row(_CHECK, "", ("--check: got {w}/protein/designs, with 1 fault, said above",)),
        Row("scaffold --check {w}/protein/nowhere", "", ("got no folder {w}/protein/nowhere",)),
        Row(_CHECK, "--out out", ("--out: got out; expected nothing", "--check")),
        Row("scaffold", "--check {w}/images", ("got no PDB file in {w}/images", "scaffold_info")),
    ],
    "methods of scaffolds": [
        Row(SCAFFOLD, "--method DPSS", ("--method: got DPSS; expected DEFT:", "TwistedSMC: TDS")),
        Row(SCAFFOLD, "--method DEFT", ("--h: got nothing", "none ships for it", "deft train")),
        Row(
            SCAFFOLD,
            "--h {w}/protein/h.safetensors",
            ("--method: got Unconditional, with --h", "one of the two"),
        ),
        Row(
            _LEARNED,
            "--h {w}/run --prior {w}/protein/tiny.safetensors",
            ("--h: got {w}/run", "which was trained for Inpainting", "for MotifScaffolding"),
        ),
        Row(
            _LEARNED,
            "--h {w}/protein/h.safetensors --prior {w}/protein/other.safetensors",
            ("was trained for the prior tiny-backbone", "Give that prior"),
        ),
        Row(
            SCAFFOLD,
            "--prior {w}/tiny.safetensors",
            ("--prior: got tiny", "[1, 16, 16]", "a prior of protein backbones: backbone-128"),
        ),
    ],
    "settings of scaffolds": [
        Row(SCAFFOLD, "--noise_scale 2", ("--noise_scale: got 2.0; expected a number in [0, 1]",)),
        Row(SCAFFOLD, "--zeta 1", ("--zeta: got 1.0; expected nothing", "DPS")),
        Row(SCAFFOLD, "--weight 0", ("--weight: got 0.0; expected", "a factor on the shift")),
        Row(
            SCAFFOLD,
            "--method DPS --weight 2",
            ("--weight: got 2.0; expected nothing", "DEFT and Guidance"),
        ),
        Row(SCAFFOLD, "--particles 4", ("--particles: got 4; expected nothing", "TwistedSMC")),
        Row(
            SCAFFOLD,
            "--method TwistedSMC --particles 0",
            ("--particles: got 0; expected a whole number >= 2",),
        ),
        Row(
            SCAFFOLD,
            "--method TwistedSMC --sigma_y 0",
            ("TwistedSMC: TwistedSMC needs a density", "sigma_y > 0"),
        ),
        Row(SCAFFOLD, "--page 3", ("--page: got 3; expected true or false",)),
    ],
    "chains to train on": [
        Row(CHAINS, "--images {w}/protein/nowhere", ("nowhere: got no file that can be read",)),
        Row(CHAINS, "--images {w}/images", ("{w}/images: got no chain", ".npz", "lengths")),
        Row(CHAINS, "--images {w}/protein/one.npz", ("one.npz: got no lengths", "(n, 3)")),
        Row(
            CHAINS,
            "--images {w}/protein/nm.npz",
            ("chain 0 of", "neighbours 0.383 apart", "Multiply nanometres by 10"),
        ),
        Row(
            CHAINS,
            "--images {w}/protein/chain.pdb",
            ("no chain of 40 residues or more; the longest has 30",),
        ),
        Row(CHAINS, "--validation_images {w}/protein/empty.pdb", ("got an empty file",)),
        Row(CHAINS, "--fit crop", ("--fit: got crop; expected nothing", "a prior of backbones")),
        Row(CHAINS, "--flip true", ("--flip: got true; expected nothing",)),
        Row(CHAINS, "--bank 4", ("--bank: got 4; expected nothing",)),
        Row(CHAINS, "--slopes 4", ("--slopes: got 4; expected nothing",)),
        Row(
            CHAINS,
            "--problem Inpainting",
            ("BackboneHTransform reads motifs with Gaussian noise: got Inpainting",),
        ),
        Row(
            CHAINS,
            "--h_transform LearnedHTransform",
            ("a learned h-transform reads sequences", "got a prior of a cloud"),
        ),
    ],
    "numbers of scaffolds": [
        Row(SCAFFOLD, "--designs 0", ("--designs: got 0; expected a whole number from 1",)),
        Row(SCAFFOLD, "-n few", ("--designs: got few; expected a whole number",)),
        Row(SCAFFOLD, "--steps 0", ("--steps: got 0; expected a whole number from 1",)),
        Row(SCAFFOLD, "--seed 1.5", ("--seed: got 1.5; expected a whole number",)),
        Row(SCAFFOLD, "--batch_size 0", ("--batch_size: got 0",)),
        Row(SCAFFOLD, "--format xyz", ("--format: got xyz; expected one of pdb, cif",)),
        Row(SCAFFOLD, "--judge perhaps", ("--judge: got perhaps; expected true or false",)),
        Row("scaffold --print_config=x", "", ('Invalid option "x" for --print_config',)),
        Row(SCAFFOLD, "--out {w}/file", ("--out: got {w}/file, a file; expected a folder",)),
        Row(
            SCAFFOLD,
            "--details.config {w}/file",
            ("--details", "tiny.safetensors is no file of weights alone"),
        ),
        Row(SCAFFOLD, "--allow nobody_here", ("--allow: got nobody_here",)),
        Row(SCAFFOLD, "--config {w}/file", ("--config: got {w}/file", "options of this command")),
    ],
}
