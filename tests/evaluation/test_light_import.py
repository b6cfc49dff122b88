import subprocess
import sys


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = (
        "import sys, fedtrade.evaluation, fedtrade.baselines; "
        "print([m for m in ('scipy', 'pandas', 'arch', 'skfolio', 'torch') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
