"""Downloads the artifacts of the Gerrit that tests and demo run: published ones, with Maven; needs a JDK 17.

It is a program, too, that needs no other module: `python3 -I fetch.py FOLDER` leaves `lib`, `classes` and `complete`
in the folder, and does nothing when they are there. tools/gerrit/fetch.sh calls it.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

SECONDS = 1800.0
HINT = "install it with: apt-get install maven openjdk-17-jdk-headless"
COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies"

# 3.10 is the newest line that runs on Java 17. The plugin API holds the server; the acceptance framework its commands,
# com.google.gerrit.pgm.Init and Daemon.
PROJECT = """\
<project xmlns="http://maven.apache.org/POM/4.0.0"
         xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"
         xsi:schemaLocation="http://maven.apache.org/POM/4.0.0 http://maven.apache.org/xsd/maven-4.0.0.xsd">
  <modelVersion>4.0.0</modelVersion>
  <groupId>zuul-launcher</groupId>
  <artifactId>gerrit-for-tests</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <properties>
    <project.build.sourceEncoding>UTF-8</project.build.sourceEncoding>
  </properties>
  <dependencies>
    <dependency>
      <groupId>com.google.gerrit</groupId>
      <artifactId>gerrit-plugin-api</artifactId>
      <version>3.10.2</version>
    </dependency>
    <dependency>
      <groupId>com.google.gerrit</groupId>
      <artifactId>gerrit-acceptance-framework</artifactId>
      <version>3.10.2</version>
    </dependency>
    <dependency>
      <groupId>org.bouncycastle</groupId>
      <artifactId>bcpkix-jdk18on</artifactId>
      <version>1.72</version>
    </dependency>
    <dependency>
      <groupId>org.bouncycastle</groupId>
      <artifactId>bcpg-jdk18on</artifactId>
      <version>1.72</version>
    </dependency>
  </dependencies>
</project>
"""

RUNNER = """\
/** Runs one of Gerrit's commands, without the war that usually does: java RunGerrit Daemon -d SITE ... */
public final class RunGerrit {
  public static void main(String[] arguments) throws Exception {
    Class<?> command = Class.forName("com.google.gerrit.pgm." + arguments[0]);
    Object instance = command.getDeclaredConstructor().newInstance();
    String[] rest = java.util.Arrays.copyOfRange(arguments, 1, arguments.length);
    Object status = command.getMethod("main", String[].class).invoke(instance, (Object) rest);
    System.exit(status instanceof Integer ? (Integer) status : 0);
  }
}
"""


class CannotFetch(Exception):
    """A program is missing, or failed; the text says which and what to do."""


def is_complete(target: Path) -> bool:
    return (target / "complete").exists()


def fetch(target: Path, *options: str) -> None:
    """Fills the folder. options: of Maven. Raises CannotFetch."""
    if is_complete(target):
        return
    for program in ("mvn", "javac"):
        if not shutil.which(program):
            raise CannotFetch(f"{program} is missing; {HINT}")
    (target / "classes").mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        project, runner = Path(folder, "pom.xml"), Path(folder, "RunGerrit.java")
        project.write_text(PROJECT)
        runner.write_text(RUNNER)
        lib = f"-DoutputDirectory={target.absolute() / 'lib'}"
        _run("mvn", "--batch-mode", "--quiet", "--file", str(project), *options, COPY, lib)
        _run("javac", "-d", str(target / "classes"), str(runner))
    (target / "complete").touch()


def _run(*command: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise CannotFetch(f"{command[0]} did not end within {SECONDS:g} s") from error
    if done.returncode != 0:
        raise CannotFetch(f"{command[0]} failed: {(done.stdout + done.stderr)[-2000:]}")


if __name__ == "__main__":
    try:
        fetch(Path(sys.argv[1]))
    except CannotFetch as problem:
        sys.exit(f"fetch.py: {problem}")
