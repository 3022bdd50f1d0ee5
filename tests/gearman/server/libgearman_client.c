/* Test peer: `worker PORT` serves the function cfun until it is killed; `client PORT TEXT` submits one job and prints what
   it hears. The text "boom" makes the worker send an exception, "fail" a failure. */
#include <libgearman/gearman.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static gearman_return_t work(gearman_job_st *job, void *context) {
  const char *text = gearman_job_workload(job);
  size_t size = gearman_job_workload_size(job);
  (void)context;
  if (size == 4 && !memcmp(text, "fail", 4)) return GEARMAN_FAIL;
  if (size == 4 && !memcmp(text, "boom", 4)) {
    gearman_job_send_exception(job, "because", 7);
    return GEARMAN_ERROR;
  }
  gearman_job_send_data(job, "part", 4);
  gearman_job_send_status(job, 1, 2);
  gearman_job_send_warning(job, "careful", 7);
  gearman_job_send_complete(job, text, size);
  return GEARMAN_SUCCESS;
}

static gearman_return_t say(const char *what, gearman_task_st *task) {
  printf("%s %.*s\n", what, (int)gearman_task_data_size(task), (const char *)gearman_task_data(task));
  return GEARMAN_SUCCESS;
}
static gearman_return_t on_data(gearman_task_st *task) { return say("data", task); }
static gearman_return_t on_warning(gearman_task_st *task) { return say("warning", task); }
static gearman_return_t on_complete(gearman_task_st *task) { return say("complete", task); }
static gearman_return_t on_exception(gearman_task_st *task) { return say("exception", task); }
static gearman_return_t on_fail(gearman_task_st *task) { (void)task; puts("fail"); return GEARMAN_SUCCESS; }
static gearman_return_t on_status(gearman_task_st *task) {
  printf("status %u/%u\n", gearman_task_numerator(task), gearman_task_denominator(task));
  return GEARMAN_SUCCESS;
}

static int be_worker(int port) {
  gearman_worker_st worker;
  gearman_worker_create(&worker);
  gearman_worker_add_server(&worker, "127.0.0.1", port);
  gearman_worker_define_function(&worker, "cfun", 4, gearman_function_create(work), 0, NULL);
  for (;;) gearman_worker_work(&worker);
}

int main(int argc, char **argv) {
  gearman_client_st client;
  gearman_return_t result;
  if (argc < 3) return 2;
  if (!strcmp(argv[1], "worker")) return be_worker(atoi(argv[2]));
  gearman_client_create(&client);
  gearman_client_add_server(&client, "127.0.0.1", atoi(argv[2]));
  gearman_client_set_timeout(&client, 20000);
  gearman_client_set_data_fn(&client, on_data);
  gearman_client_set_warning_fn(&client, on_warning);
  gearman_client_set_status_fn(&client, on_status);
  gearman_client_set_complete_fn(&client, on_complete);
  gearman_client_set_exception_fn(&client, on_exception);
  gearman_client_set_fail_fn(&client, on_fail);
  gearman_client_add_task(&client, NULL, NULL, "cfun", NULL, argv[3], strlen(argv[3]), &result);
  result = gearman_client_run_tasks(&client);
  printf("end %s\n", gearman_strerror(result));
  return 0;
}
