#!/bin/bash
# Answers the request that appears as a file in a folder, and asks for an image every so many of them.
# Killed and restored, it goes on behind the last image. torpor-request has to be in PATH.
#
#     shell-example.sh FOLDER [REQUESTS-PER-IMAGE]
folder=$1
per_image=${2:-1000}
requests=0
restored=0

torpor-request ready > /dev/null
while :; do
    if ! mv "$folder/request" "$folder/taken" 2> /dev/null; then
        sleep 0.02
        continue
    fi
    requests=$((requests + 1))
    echo "$requests $restored" > "$folder/answer.new"
    mv "$folder/answer.new" "$folder/answer"
    if ((requests % per_image == 0)); then
        case $(torpor-request checkpoint --label "every $per_image" --replace) in
        restored*) restored=$((restored + 1)) ;; # RANDOM is the same in each life: seed it anew
        esac
    fi
done
