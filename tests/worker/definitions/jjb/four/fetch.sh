git fetch origin "${BRANCH:-master}"
