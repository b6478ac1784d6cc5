#!/usr/bin/env bash
# Signs the last builds of two boards as another version: release.sh VERSION FOLDER.
# SPDX-License-Identifier: Apache-2.0
set -euo pipefail
version=$1 folder=$2
mkdir -p "$folder"
for board in host qemu-m4; do
    for slot in a b; do
        for image in app capsule; do
            payload=build/$board/app_$slot.bin
            [[ $image == app ]] || payload=build/$board/kws_int8-auto/capsule_$slot.bin
            [[ -e $payload ]] || continue # run from RAM, one image serves both slots
            tinyseal sign "$payload" --board "$board" --image "$image" --slot "$slot" \
                --version "$version" --key keys/dev_sign.pem \
                -o "$folder/${board}_${image}_$slot.img"
        done
    done
done
