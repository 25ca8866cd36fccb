"""Runs plain code as a job, in one step: nothing else runs until it is done."""

from mqboard.health.blackbox import BY_CODE, SILENT
from mqboard.repl import jobs


def run(board, request, source, execute):
    """Run `execute(output)`, for the code `source` that came with `request`.

    Return its Output (mqboard.repl.output), and the exception that came out of it or None.
    """
    job = jobs.begin(board, request, source)
    box = board.blackbox
    error = None
    try:
        box.evaluated = True
        box.run("eval %s %s" % (job.ident, job.text))
        box.end(BY_CODE if "reset(" in source else SILENT)
        job.enter()
        try:
            execute(job.output)
        finally:
            job.leave()
    except BaseException as raised:  # its own SystemExit or KeyboardInterrupt, too
        error = raised
    finally:
        box.end(SILENT)
        box.run("")
        jobs.end(board, job)
    return job.output, error
