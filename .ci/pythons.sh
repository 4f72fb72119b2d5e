# Sourced by jobs: which Pythons are at hand, from PATH and from pyenv.

# Path of a Python of one version, such as 3.12; nothing where there is none that runs. A command
# may exist and still not run (a pyenv shim), hence each is tried.
python_of() {
  local wanted=$1 candidate
  for candidate in "python$wanted" "${PYENV_ROOT:-$HOME/.pyenv}/versions/$wanted".*/bin/python; do
    if "$candidate" -c "import sys, venv, ensurepip
sys.exit('%d.%d' % sys.version_info[:2] != '$wanted')" >/dev/null 2>&1; then
      echo "$candidate"
      return
    fi
  done
}

# Those of the versions named that are at hand, in the order given.
at_hand() {
  local version
  for version in "$@"; do
    if [ -n "$(python_of "$version")" ]; then echo "$version"; fi
  done
}
