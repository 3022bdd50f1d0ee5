echo {name} "${{BRANCH:-master}}"
