"""The Gerrit shell: events come in over SSH, facts are asked for, reports go out. `parse` decides, the rest acts."""
