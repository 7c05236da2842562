#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Builds the Go side of the interop tests into <build>/interop: generates the messages from proto/plugin, then the
plugins `plugins/interop-*` and the test program `host.test`. Prints why and exits 77 where Go is missing.
"""
import os
import shutil
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
BUILD = os.environ.get("DROVER_BUILD_DIR") or os.path.join(ROOT, "build", "dev")
OUT = os.path.join(BUILD, "interop")
MODULE = "drover.test/interop"
PROTOS = ("base", "device", "driver", "hclspec", "structs")


def go():
    """The go command, or None. Debian's own lies in the path; other installations are looked for too."""
    return shutil.which("go") or (os.access("/usr/local/go/bin/go", os.X_OK) and "/usr/local/go/bin/go") or None


def run(*args, cwd=None, env=None):
    done = subprocess.run(args, cwd=cwd, env=env, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(args)}: exit code {done.returncode}\n{done.stdout}{done.stderr}")


def build():
    tool = go()
    if not tool:
        print("skipped: there is no Go on this machine (package golang-go)")
        raise SystemExit(77)
    module = os.path.join(OUT, "module")
    shutil.rmtree(module, ignore_errors=True)
    shutil.copytree(HERE, module, ignore=shutil.ignore_patterns("*.py", "CMakeLists.txt", "README.md", "__pycache__"))
    bin_dir = os.path.join(OUT, "bin")
    env = dict(os.environ, GOFLAGS="-mod=readonly -buildvcs=false", PATH=bin_dir + os.pathsep + os.environ["PATH"])
    env.setdefault("HOME", "/root")
    for program in ("google.golang.org/protobuf/cmd/protoc-gen-go",
                    "google.golang.org/grpc/cmd/protoc-gen-go-grpc"):
        run(tool, "build", "-o", bin_dir + "/", program, cwd=module, env=env)
    options = [f"Mproto/plugin/{name}.proto={MODULE}/gen/{name}pb" for name in PROTOS]
    command = ["protoc", f"-I{ROOT}", f"--go_out={module}", f"--go-grpc_out={module}",
               f"--go_opt=module={MODULE}", f"--go-grpc_opt=module={MODULE}"]
    for option in options:
        command += [f"--go_opt={option}", f"--go-grpc_opt={option}"]
    run(*command, *(f"{ROOT}/proto/plugin/{name}.proto" for name in PROTOS), env=env)
    for program in ("driver", "device"):
        # A plugin's key is its file's name: that is what the agent's plugin block is labelled with.
        run(tool, "build", "-o", os.path.join(bin_dir, "plugins", f"interop-{program}"), f"./{program}", cwd=module, env=env)
    run(tool, "test", "-c", "-o", os.path.join(bin_dir, "host.test"), "./host", cwd=module, env=env)
    return bin_dir


if __name__ == "__main__":
    print(build())
    sys.exit(0)
