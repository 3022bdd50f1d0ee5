#!/bin/bash -e
# Braces and all: ${ZUUL_REF} of {project}
git fetch "${ZUUL_URL:-git://localhost}/${ZUUL_PROJECT}" "$ZUUL_REF"
git checkout FETCH_HEAD
awk '{print $1}' MANIFEST
